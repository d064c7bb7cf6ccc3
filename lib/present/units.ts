/** Numbers as people read them, with their units. Pure. */

/** What stands where a value is not known. Never 0. */
export const unknownText = '—';

const KIB = 1024;
const sizes = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `0 B`, `512 KiB`, `11.2 GiB`: whole numbers up to MiB, one decimal above. */
export function formatBytes(bytes: number | null): string {
  if (bytes === null) return unknownText;
  let value = bytes;
  let unit = 0;
  while (value >= KIB && unit < sizes.length - 1) {
    value /= KIB;
    unit++;
  }
  return `${value.toFixed(unit < 3 ? 0 : 1)} ${sizes[unit]}`;
}

/** `61.2 GiB`: always GiB, for columns whose numbers are compared. */
export function formatGib(bytes: number | null): string {
  return bytes === null ? unknownText : `${gib(bytes)} GiB`;
}

/** `61.2 / 80.0 GiB`; either side may be unknown. */
export function formatGibOf(used: number | null, total: number | null): string {
  if (used === null && total === null) return unknownText;
  return `${used === null ? unknownText : gib(used)} / ${total === null ? unknownText : gib(total)} GiB`;
}

const gib = (bytes: number) => (bytes / KIB ** 3).toFixed(1);

/** `1.2 MiB/s` */
export function formatRate(bytesPerSecond: number | null): string {
  return bytesPerSecond === null ? unknownText : `${formatBytes(bytesPerSecond)}/s`;
}

/** `0.4 %`, `34 %`, `812 %`: one decimal below 10. */
export function formatPercent(percent: number | null): string {
  if (percent === null) return unknownText;
  const digits = percent > 0 && percent < 9.95 ? 1 : 0;
  return `${percent.toFixed(digits)} %`;
}

/** A percentage of whole cores (100 = one) as cores: `0.34`, `8.1`, `64`. */
export function formatCores(percent: number | null): string {
  if (percent === null) return unknownText;
  const cores = percent / 100;
  return cores.toFixed(cores < 1 ? 2 : cores < 10 ? 1 : 0);
}

/** `64 °C` */
export function formatCelsius(celsius: number | null): string {
  return celsius === null ? unknownText : `${celsius.toFixed(0)} °C`;
}

/** `412 W` */
export function formatWatts(watts: number | null): string {
  return watts === null ? unknownText : `${watts.toFixed(0)} W`;
}

/** `42 s`, `5 min 03 s`, `3 h 07 min`, `12 d 4 h`: the two leading units. */
export function formatDuration(seconds: number | null): string {
  if (seconds === null) return unknownText;
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number) => String(value).padStart(2, '0');
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

/** Age of a heartbeat: `0.4 s` below ten seconds, then as a duration. */
export function formatAge(ageMs: number | null): string {
  if (ageMs === null) return unknownText;
  return ageMs < 10_000 ? `${(Math.max(0, ageMs) / 1000).toFixed(1)} s` : formatDuration(ageMs / 1000);
}
