/** Names of variables that hold a secret, of ours or of others. */
const secretName =
  /(?:^|_)(?:TOKEN|TOKENS|SECRET|SECRETS|PASSWORD|PASSWD|PASS|PWD|KEY|KEYS|CREDENTIALS?|AUTH|COOKIE|DSN)$|(?:TOKEN|SECRET|PASSWORD|APIKEY)$/i;
/** Directories, which the shell calls so. */
const harmless = new Set(['PWD', 'OLDPWD']);

/** Our own secrets: no process that we start gets them unless somebody hands them over by name. */
const ours: ReadonlySet<string> = new Set(['HIVEPULSE_TOKEN']);

const keep = (environment: NodeJS.ProcessEnv, isKept: (name: string) => boolean): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(environment).filter(([name]) => isKept(name)));

/** What a worker inherits: everything but our own tokens. The keys of its user are its own affair. */
export const workerEnvironment = (environment: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv =>
  keep(environment, (name) => !ours.has(name));

/** What tools that we start for ourselves inherit (those of a GPU driver): nothing that looks like a secret. */
export const toolEnvironment = (environment: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv =>
  keep(environment, (name) => harmless.has(name) || !secretName.test(name));
