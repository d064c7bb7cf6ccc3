import { flagOf, type SettingKey, settingOf } from './settings.js';

/** A switch that is on has a flag that turns it off. */
export const isOn = (key: SettingKey): boolean =>
  settingOf(key).type.placeholder === null && settingOf(key).default === true;

/** `--interval <duration>`, `--no-auto`. */
export function flagSyntaxOf(key: SettingKey): string {
  const { placeholder } = settingOf(key).type;
  return `--${isOn(key) ? 'no-' : ''}${flagOf(key)}${placeholder === null ? '' : ` <${placeholder}>`}`;
}
