// Requests to the server API, as the console may make them: of its own origin, with a header that no other origin can send.

/** An error that the API answered, or a gateway that did not answer (status 0). */
export class ApiError extends Error {
  constructor(readonly status: number, message: string, readonly reason = '', readonly field = '') {
    super(message);
  }
}

export interface Request {
  method?: string;
  path: string;
  body?: object;
}

type Listener = (signedOut: boolean) => void;
let whenRefused: Listener = () => {};

/** Calls back when the gateway does not know us any more. */
export function onSignedOut(listener: Listener): void {
  whenRefused = listener;
}

async function send({ method = 'GET', path, body }: Request, headers: Record<string, string>, signal?: AbortSignal): Promise<Response> {
  const init: RequestInit = { method, headers: { 'rosterd-console': '1', ...headers }, cache: 'no-store' };
  if (body) {
    init.body = JSON.stringify(body);
    init.headers = { ...init.headers, 'content-type': 'application/json' };
  }
  if (signal) init.signal = signal;
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, 'The gateway does not answer.');
  }
  if (response.ok) return response;
  const failure = (await response.json().catch(() => ({}))) as { error?: { message?: string; reason?: string; field?: string } };
  if (response.status === 401 && path !== '/console/login') whenRefused(true);
  const { message = `The gateway answered ${response.status}.`, reason, field } = failure.error ?? {};
  throw new ApiError(response.status, message, reason, field);
}

/** Sends a request, and returns the JSON of its answer. With `shown`, private fields are in it, and that is written down. */
export async function call<T>(request: Request, shown = false): Promise<T> {
  return (await (await send(request, shown ? { 'rosterd-console': 'private' } : {})).json()) as T;
}

export const get = <T>(path: string, shown = false): Promise<T> => call<T>({ path }, shown);

export async function text(path: string): Promise<string> {
  return (await send({ path }, {})).text();
}

/** Follows server-sent events until the signal, or the end. Not `EventSource`, which does not say why it was refused. */
export async function follow(path: string, signal: AbortSignal, each: (type: string, data: string) => void): Promise<void> {
  const response = await send({ path }, { accept: 'text/event-stream' }, signal);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split('\n\n');
    rest = events.pop()!;
    for (const event of events) {
      const of = (name: string): string => event.split('\n').filter((line) => line.startsWith(name)).map((line) => line.slice(name.length).trim()).join('\n');
      if (of('data:')) each(of('event:'), of('data:'));
    }
  }
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** Returns the command that asks the same, for a shell. */
export function curl({ method = 'GET', path, body }: Request, open: boolean): string {
  const parts = ['curl'];
  if (method !== 'GET') parts.push('-X', method);
  if (!open) parts.push('-H', '"Authorization: Bearer $ROSTERD_KEY"');
  if (body) parts.push('-H', quoted('content-type: application/json'), '-d', quoted(JSON.stringify(body)));
  return [...parts, quoted(location.origin + path)].join(' ');
}

/** Puts values into a path: `` at`/v1/users/${account}` ``. */
export const at = (parts: TemplateStringsArray, ...values: (string | number)[]): string =>
  parts.reduce((path, part, i) => path + encodeURIComponent(String(values[i - 1])) + part);

/** Adds the values that are there as a query. */
export function query(path: string, values: Record<string, string | number | undefined>): string {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== '');
  return given.length ? `${path}?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : path;
}
