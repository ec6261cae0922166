// What all pages share: who we are, whether the gateway answers, and its numbers.

import { createContext } from 'preact';
import { useCallback, useContext, useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, follow } from './api.js';
import type { Me } from './records.js';

export interface Shared {
  me: Me;
  /** Whether the gateway answers; counts up each time it comes back, so that views ask again. */
  answers: boolean;
  revival: number;
  live: Live;
}

export const SharedContext = createContext<Shared>(null as unknown as Shared);
export const useShared = (): Shared => useContext(SharedContext);

/** Whether our key has a scope. What it lacks is not shown; the API refuses it anyway. */
export const useMay = (): ((scope: string) => boolean) => {
  const { me } = useShared();
  return (scope) => me.scopes.includes(scope);
};

/** Samples of the last ten minutes, by the names that the gateway gives them. */
export class Live {
  constructor(readonly names: string[] = [], readonly samples: number[][] = []) {}

  with(names: string[], samples: number[][], more: boolean): Live {
    return new Live(names, more ? [...this.samples.slice(-599), ...samples] : samples);
  }

  last(name: string): number {
    return this.samples.at(-1)?.[this.names.indexOf(name)] ?? 0;
  }

  series(name: string): number[] {
    const at = this.names.indexOf(name);
    return this.samples.map((sample) => sample[at] ?? 0);
  }

  /** How much a counter grew each second. */
  rates(name: string): number[] {
    const [at, time] = [this.names.indexOf(name), this.names.indexOf('time')];
    const { samples } = this;
    return samples.slice(1).map((sample, i) => {
      const seconds = (sample[time]! - samples[i]![time]!) / 1000;
      // A clock that jumps, and a gateway that began anew, have no rate.
      return seconds > 0 ? Math.max(0, (sample[at]! - samples[i]![at]!) / seconds) : 0;
    });
  }

  times(): number[] {
    return this.series('time');
  }
}

/** Follows the numbers while the page is looked at: browsers give an origin six connections, for all its tabs. */
export function useLive(on: boolean): { live: Live; answers: boolean; revival: number } {
  const [live, setLive] = useState(new Live());
  const [{ answers, revival }, setAnswers] = useState({ answers: true, revival: 0 });
  useEffect(() => {
    if (!on) return;
    let abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const listen = async (): Promise<void> => {
      const { signal } = abort;
      try {
        await follow('/v1/live', signal, (type, data) => {
          const { names, samples } = JSON.parse(data) as { names: string[]; samples: number[][] };
          setLive((live) => live.with(names, samples, type === 'sample'));
          setAnswers((was) => (was.answers ? was : { answers: true, revival: was.revival + 1 }));
        });
      } catch (error) {
        if (signal.aborted || (error instanceof ApiError && error.status === 401)) return;
      }
      if (signal.aborted) return;
      setAnswers((was) => ({ ...was, answers: false }));
      timer = setTimeout(listen, 1000);
    };
    const look = (): void => {
      abort.abort();
      clearTimeout(timer);
      abort = new AbortController();
      if (!document.hidden) void listen();
    };
    document.addEventListener('visibilitychange', look);
    look();
    return () => {
      document.removeEventListener('visibilitychange', look);
      clearTimeout(timer);
      abort.abort();
    };
  }, [on]);
  return { live, answers, revival };
}

export interface Loaded<T> {
  data?: T;
  error?: ApiError;
  reload(): Promise<void>;
}

/** Loads when `key` changes, when the gateway comes back, every `everyMs` if given, and on demand. Keeps what it had. */
export function useLoad<T>(key: string, load: () => Promise<T>, everyMs = 0): Loaded<T> {
  const { revival } = useShared();
  const [state, setState] = useState<{ key: string; data?: T; error?: ApiError }>({ key });
  const newest = useRef(0);
  const loader = useRef(load);
  loader.current = load;
  const reload = useCallback(async () => {
    const number = ++newest.current;
    const settle = (settled: { data?: T; error?: ApiError }): void => {
      if (number === newest.current) setState({ key, ...settled });
    };
    try {
      settle({ data: await loader.current() });
    } catch (error) {
      // Said once, at the top of the page; what was there stays.
      if (error instanceof ApiError && error.status === 0) return;
      settle({ error: error instanceof ApiError ? error : new ApiError(-1, String(error)) });
    }
  }, [key]);
  useEffect(() => {
    void reload();
    const timer = everyMs ? setInterval(() => document.hidden || void reload(), everyMs) : undefined;
    return () => {
      clearInterval(timer);
      newest.current++;
    };
  }, [reload, revival, everyMs]);
  const { data, error } = state.key === key ? state : {};
  return { ...(data !== undefined && { data }), ...(error && { error }), reload };
}

/** The address inside the console: `#/users/alice/friends?after=bob`. */
export interface Place {
  hash: string;
  path: string[];
  query: Record<string, string>;
}

export function place(): Place {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const decode = (part: string): string => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  };
  return { hash: location.hash, path: path.split('/').filter(Boolean).map(decode), query: Object.fromEntries(new URLSearchParams(query)) };
}

export function usePlace(): Place {
  const [at, setAt] = useState(place);
  useEffect(() => {
    const moved = (): void => setAt(place());
    addEventListener('hashchange', moved);
    // It may have moved before anybody listened.
    moved();
    return () => removeEventListener('hashchange', moved);
  }, []);
  return at;
}

/** Goes to another place; with `replace` the way back leads past this one. */
export function go(path: string, query: Record<string, string | undefined> = {}, replace = false): void {
  const given = Object.entries(query).filter((pair): pair is [string, string] => !!pair[1]);
  const hash = `#/${path}${given.length ? `?${new URLSearchParams(given)}` : ''}`;
  if (replace) location.replace(hash);
  else location.hash = hash;
}
