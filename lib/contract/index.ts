export * from './api.js';
export * from './cordon.js';
export * from './heartbeat.js';
export * from './missing.js';
export * from './primitives.js';
export * from './queries.js';
export * from './silence.js';
