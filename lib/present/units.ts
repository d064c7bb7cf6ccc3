/** Numbers as people read them, with their units. Pure. */

/** Stands where a value is not known. Never 0. */
export const unknownText = '—';

const orUnknown =
  (format: (value: number) => string) =>
  (value: number | null): string =>
    value === null ? unknownText : format(value);

const KIB = 1024;
const sizes = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;
const gibUnit = sizes.indexOf('GiB');

/** Whole numbers up to MiB, one decimal of GiB; of what is larger two, or one of many. */
function inUnit(bytes: number, unit: number): string {
  const value = bytes / KIB ** unit;
  return value.toFixed(unit < gibUnit ? 0 : unit === gibUnit || value >= 99.995 ? 1 : 2);
}

/** The unit in which it is below 1,024 as it is written. */
function unitOf(bytes: number, least = 0): number {
  let unit = least;
  while (unit < sizes.length - 1 && Number(inUnit(bytes, unit)) >= KIB) unit++;
  return unit;
}

const bytesFrom = (least: number) =>
  orUnknown((bytes) => {
    const unit = unitOf(bytes, least);
    return `${inUnit(bytes, unit)} ${sizes[unit]}`;
  });

/** `0 B`, `512 KiB`, `11.2 GiB`, `1.97 TiB`. */
export const formatBytes = bytesFrom(0);

const fromGib = bytesFrom(gibUnit);
/** `61.2 GiB`, `1.97 TiB`: for columns whose numbers are compared; `12 MiB` where that would read as nothing. */
export const formatGib = orUnknown((bytes) =>
  bytes > 0 && bytes < 0.05 * KIB ** gibUnit ? formatBytes(bytes) : fromGib(bytes),
);

/** `61.2 / 80.0 GiB`, `0.35 / 1.97 TiB`; either side may be unknown. */
export const formatGibOf = (used: number | null, total: number | null): string => {
  if (used === null && total === null) return unknownText;
  const unit = unitOf(Math.max(used ?? 0, total ?? 0), gibUnit);
  const side = orUnknown((bytes) => inUnit(bytes, unit));
  return `${side(used)} / ${side(total)} ${sizes[unit]}`;
};

/** Both in the unit of the greater, `0.98 TiB` of `2.46 TiB`; a part that would read as nothing in its own. */
export function bytesOfWhole(
  part: number | null,
  whole: number | null,
): { readonly part: string; readonly whole: string } {
  const unit = unitOf(Math.max(part ?? 0, whole ?? 0));
  const isLittle = part === null || Number(inUnit(part, unit)) < 0.1;
  return { part: isLittle ? formatBytes(part) : `${inUnit(part, unit)} ${sizes[unit]}`, whole: formatBytes(whole) };
}

/** `1.2 MiB/s` */
export const formatRate = orUnknown((bytesPerSecond) => `${formatBytes(bytesPerSecond)}/s`);

/** `0.4/s`, `36/s`, `1,240/s`: one decimal below 10. */
const perSecond = (what: string) =>
  orUnknown(
    (count) => `${count > 0 && count < 9.95 ? count.toFixed(1) : Math.round(count).toLocaleString('en')}${what}/s`,
  );
export const formatPerSecond = perSecond('');
export const formatTokensPerSecond = perSecond(' tokens');

/** `0.4 %`, `34 %`, `812 %`: one decimal below 10. */
export const formatPercent = orUnknown((percent) => `${percent.toFixed(percent > 0 && percent < 9.95 ? 1 : 0)} %`);

/** A percentage of whole cores (100 = one) as cores: `0.34`, `8.1`, `64`. */
export const formatCores = orUnknown((percent) => {
  const cores = percent / 100;
  return cores.toFixed(cores < 0.995 ? 2 : cores < 9.95 ? 1 : 0);
});

/** `16,318` */
export const formatWhole = orUnknown((count) => Math.round(count).toLocaleString('en'));

/** `64`, `1.5`: CPUs, of which there can be a part. */
export const formatCount = orUnknown((count) => String(Math.round(count * 10) / 10));

/** `64 °C` */
export const formatCelsius = orUnknown((celsius) => `${celsius.toFixed(0)} °C`);

/** `412 W`, `12.4 kW`: of a fleet. */
export const formatKilowatts = orUnknown((watts) =>
  watts < 1000 ? `${watts.toFixed(0)} W` : `${(watts / 1000).toFixed(watts < 99_950 ? 1 : 0)} kW`,
);

/** `412 W` */
export const formatWatts = orUnknown((watts) => `${watts.toFixed(0)} W`);

/** `42 s`, `5 min 03 s`, `3 h 07 min`, `12 d 4 h`: the two leading units. */
export const formatDuration = orUnknown((seconds) => {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number) => String(value).padStart(2, '0');
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
});

/** Age of a heartbeat: `0.4 s` below ten seconds, then as a duration. */
export const formatAge = orUnknown((ageMs) =>
  ageMs < 10_000 ? `${(Math.max(0, ageMs) / 1000).toFixed(1)} s` : formatDuration(ageMs / 1000),
);
