import type * as type from './types.js';

/** Who reads a setting. `client` is every command that asks a queen: top, workers, hives, events, doctor. */
export const settingUsers = ['up', 'queen', 'hive', 'sample', 'client'] as const;
export type SettingUser = (typeof settingUsers)[number];

/**
 * One setting as the table below declares it. Its flag, environment variable, key in the file, line of help, entry in
 * docs/configuration.md and option of `startHive` and `startQueen` all come from here.
 */
interface Row<T, U extends SettingUser, O extends string | null> {
  readonly type: type.ValueType<T>;
  readonly description: string;
  /** What going either way costs. */
  readonly tradeoff: string;
  /** Null or absent: unset, and `without` says what happens then. */
  readonly default?: NoInfer<T> | null;
  readonly without?: string;
  /** Another default for one user. */
  readonly defaultFor?: Partial<Record<SettingUser, NoInfer<T>>>;
  /** Long flag without dashes, where it is not the key in kebab case; null where a flag would show a secret to `ps`. */
  readonly flag?: string | null;
  /** Environment variable, where it is not the key in capitals. */
  readonly variable?: string;
  /** May stand in the YAML file (default true). */
  readonly inFile?: boolean;
  /** Option of HiveOptions and QueenOptions, where it is not the key; `a.b` is a nested one; null: none. */
  readonly option?: O;
  /** Where they are not those of its section. */
  readonly users?: readonly U[];
}

export interface Setting<T, U extends SettingUser = SettingUser, O extends string | null = string | null>
  extends Row<T, U, O> {
  readonly default: NoInfer<T> | null;
  readonly users: readonly U[];
  /** Heading in the help and the documentation. */
  readonly group: string;
}

/** Declares the settings of one heading, which most often have the same users. */
export const section =
  <S extends SettingUser>(group: string, users: readonly S[]) =>
  <T, const O extends string | null = '', U extends SettingUser = S>(row: Row<T, U, O>): Setting<T, U, O> => ({
    default: null,
    users: users as readonly SettingUser[] as readonly U[],
    group,
    ...row,
  });
