import hivepulse = require('hivepulse');

export const registry: hivepulse.Registry | null = null;
export const error = new hivepulse.HivepulseError('INVALID_OPTION', 'port', 'A port is wanted.');
