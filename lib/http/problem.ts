import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { Problem } from '../contract/api.js';
import { HivepulseError } from '../util/errors.js';

/** Every code that an error reply can carry, with its status and title. Stable: clients match on the code. */
export const problems = {
  INVALID_REQUEST: [400, 'The request is malformed'],
  INVALID_JSON: [400, 'The body is not JSON'],
  INVALID_ENCODING: [400, 'The body is not in the encoding it names'],
  INVALID_HEARTBEAT: [400, 'The heartbeat is malformed'],
  UNSUPPORTED_SCHEMA: [400, 'The heartbeat is of another schema'],
  TOO_MANY_WORKERS: [400, 'The hive has more workers than this queen takes'],
  INVALID_CURSOR: [400, 'The cursor is not one of this list'],
  UNAUTHENTICATED: [401, 'A token is needed'],
  FORBIDDEN: [403, 'The token does not allow this'],
  WRONG_HIVE: [403, 'The token speaks for another hive'],
  HOST_NOT_ALLOWED: [403, 'The host name is not one of this queen'],
  ORIGIN_NOT_ALLOWED: [403, 'The request comes from another site'],
  NOT_FOUND: [404, 'There is no such resource'],
  METHOD_NOT_ALLOWED: [405, 'The resource does not have this method'],
  REQUEST_TIMEOUT: [408, 'The request took too long to arrive'],
  STALE_SEQ: [409, 'A newer heartbeat has been heard'],
  IMPLAUSIBLE_SEQ: [409, 'This run cannot have counted so far'],
  RETIRED_INCARNATION: [409, 'A newer run of this hive has been heard'],
  DUPLICATE_HIVE_ID: [409, 'Two hives speak under one id'],
  IDEMPOTENCY_CONFLICT: [409, 'The key was used for another request'],
  LENGTH_REQUIRED: [411, 'The body has no content-length'],
  PAYLOAD_TOO_LARGE: [413, 'The body is too large'],
  TOO_COMPLEX: [413, 'The body has more parts than this queen takes'],
  UNSUPPORTED_MEDIA_TYPE: [415, 'The body is not application/json'],
  UNSUPPORTED_ENCODING: [415, 'The encoding of the body is not supported'],
  UPGRADE_REQUIRED: [426, 'The resource has another protocol'],
  RATE_LIMITED: [429, 'Too many requests'],
  HEADERS_TOO_LARGE: [431, 'The headers are too large'],
  INTERNAL: [500, 'The queen failed'],
  TOO_MANY_HIVES: [503, 'The queen has as many hives as it takes, in all or of one token'],
  TOO_MUCH_MEMORY: [503, 'The queen keeps as much as it takes'],
  TOO_MANY_RESERVATIONS: [503, 'As much room is reserved as the queen keeps in mind'],
  TOO_MANY_SILENCES: [503, 'As much is silenced as the queen keeps in mind'],
  TOO_MANY_STREAMS: [503, 'The queen has as many streams as it takes'],
  TOO_MANY_BYTES: [503, 'The queen reads as many bytes at once as it takes'],
  CLOSING: [503, 'The queen is shutting down'],
  BUS_UNAVAILABLE: [503, 'The queens cannot agree on a reservation now'],
  WARMING: [503, 'The queen has not yet heard the whole fleet'],
} as const satisfies Record<string, readonly [number, string]>;

export type ProblemCode = keyof typeof problems;

export const problemType = 'application/problem+json';

/** Thrown by routes and hooks; the error handler turns it into the reply. */
export class ProblemError extends Error {
  readonly code: ProblemCode;
  readonly statusCode: number;
  readonly field: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ProblemCode,
    detail: string,
    extra: { readonly field?: string | undefined; readonly retryAfterSeconds?: number | undefined } = {},
  ) {
    super(detail);
    this.name = 'ProblemError';
    this.code = code;
    this.statusCode = problems[code][0];
    this.field = extra.field;
    this.retryAfterSeconds = extra.retryAfterSeconds;
  }
}

export function problemOf(code: ProblemCode, detail: string, field?: string): Problem {
  const [status, title] = problems[code];
  return {
    type: `urn:hivepulse:problem:${code}`,
    title,
    status,
    detail,
    code,
    ...(field === undefined || field === '' ? {} : { field }),
  };
}

/** Codes of Fastify whose cause is the request, by what they mean here. */
const fastifyCodes: Readonly<Record<string, ProblemCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'PAYLOAD_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
  FST_ERR_CTP_INVALID_JSON_BODY: 'INVALID_JSON',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'INVALID_JSON',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'INVALID_REQUEST',
  FST_ERR_VALIDATION: 'INVALID_REQUEST',
  FST_ERR_BAD_URL: 'INVALID_REQUEST',
  FST_ERR_ASYNC_CONSTRAINT: 'INVALID_REQUEST',
  FST_ERR_MAX_PARAM_LENGTH: 'NOT_FOUND',
};

const byStatus: Readonly<Record<number, ProblemCode>> = {
  400: 'INVALID_REQUEST',
  401: 'UNAUTHENTICATED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  405: 'METHOD_NOT_ALLOWED',
  408: 'REQUEST_TIMEOUT',
  413: 'PAYLOAD_TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
  429: 'RATE_LIMITED',
  503: 'CLOSING',
};

interface SchemaError {
  readonly keyword?: string;
  readonly instancePath?: string;
  readonly params?: {
    readonly requiredProperties?: readonly string[];
    readonly additionalProperties?: readonly string[];
  };
}

/** The field that a schema complains of: the path, and what is missing or too much at it. */
function fieldOf(error: FastifyError): string | undefined {
  const first = error.validation?.[0] as SchemaError | undefined;
  if (first === undefined) return undefined;
  const extra = first.params?.requiredProperties?.[0] ?? first.params?.additionalProperties?.[0];
  const path = (first.instancePath ?? '').split('/').filter((part) => part !== '');
  if (extra !== undefined) path.push(extra);
  return path.join('.').slice(0, 128);
}

/** A connection that ended, or was ended for being slow, before the whole body was there: a fault of the network. */
function isCutShort({ code, statusCode }: FastifyError): boolean {
  return code === 'ECONNRESET' && statusCode === 400;
}

export function toProblem(error: FastifyError | ProblemError | HivepulseError): Problem {
  if (error instanceof ProblemError) return problemOf(error.code, error.message, error.field);
  if (error instanceof HivepulseError) {
    if (error.code === 'INVALID_OPTION')
      return problemOf(error.subject === 'cursor' ? 'INVALID_CURSOR' : 'INVALID_REQUEST', error.message, error.subject);
    return problemOf('INTERNAL', 'The queen failed to answer; its log says why.');
  }
  if (isCutShort(error)) return problemOf('REQUEST_TIMEOUT', 'The body did not arrive whole.');
  const code = fastifyCodes[error.code] ?? byStatus[error.statusCode ?? 500];
  if (code !== undefined) return problemOf(code, error.message, fieldOf(error));
  // What failed inside is for the log; a caller gains nothing from it.
  return problemOf('INTERNAL', 'The queen failed to answer; its log says why.');
}

/** What queens share refuses with errors of this package, which are for the caller too. */
function forCaller(error: FastifyError | ProblemError | HivepulseError): FastifyError | ProblemError | HivepulseError {
  if (!(error instanceof HivepulseError)) return error;
  if (error.code === 'BUS_UNAVAILABLE' || error.code === 'TOO_MANY_RESERVATIONS')
    return new ProblemError(error.code, error.message, { retryAfterSeconds: 1 });
  return error.code === 'IDEMPOTENCY_CONFLICT'
    ? new ProblemError(error.code, error.message, { field: error.subject })
    : error;
}

/** Headers of a problem, by what it is. */
function problemHeaders(error: Error, { status }: Problem): Record<string, string> {
  const headers: Record<string, string> = {};
  if (error instanceof ProblemError && error.retryAfterSeconds !== undefined)
    headers['retry-after'] = String(error.retryAfterSeconds);
  // The rest of a body that is refused unread must not be taken for the next request.
  if (status === 413) headers.connection = 'close';
  if (status === 401) headers['www-authenticate'] = 'Bearer realm="hivepulse"';
  return headers;
}

/** The error handler of the whole server. */
export function replyProblem(given: FastifyError | ProblemError, request: FastifyRequest, reply: FastifyReply): void {
  const error = forCaller(given);
  const problem = toProblem(error);
  if (problem.status >= 500 && !(error instanceof ProblemError))
    request.log.error({ err: error, url: request.routeOptions.url }, 'request failed');
  reply.headers(problemHeaders(error, problem));
  reply.code(problem.status).type(problemType).serializer(JSON.stringify).send(problem);
}

/** What is answered where a route throws, for a server without the framework. */
export function problemReply(given: Error) {
  const error = given as FastifyError | ProblemError;
  const problem = toProblem(error);
  return { status: problem.status, type: problemType, headers: problemHeaders(error, problem), body: problem };
}

/** The same for what fails before there is a request: bad HTTP, slow headers. */
export function rawProblem(code: ProblemCode, detail: string): string {
  const body = JSON.stringify(problemOf(code, detail));
  const [status, title] = problems[code];
  return [
    `HTTP/1.1 ${status} ${title}`,
    `content-type: ${problemType}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    '',
    body,
  ].join('\r\n');
}
