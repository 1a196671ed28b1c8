// What a view needs of time, of the address and of the server.
import { useEffect, useRef, useState } from "preact/hooks";
import { Refused, get } from "./api";

export function useNow(every = 1000): number {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => set(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

export function useHash(): string {
  const [hash, set] = useState(location.hash);
  useEffect(() => {
    const listener = () => set(location.hash);
    addEventListener("hashchange", listener);
    return () => removeEventListener("hashchange", listener);
  }, []);
  return hash;
}

export interface Fetched<T> {
  found: T | null;
  refused: Refused | null;
}

/** Asks again whenever `news` changes, at most every `pause` milliseconds; what is known stays until then. */
export function useFetched<T>(path: string | null, news: unknown, pause = 1000): Fetched<T> {
  const [state, set] = useState<Fetched<T> & { path: string | null }>({ path, found: null, refused: null });
  const last = useRef(0);
  const wanted = useRef(path);
  wanted.current = path;
  useEffect(() => {
    if (!path) return;
    const first = state.path !== path || (!state.found && !state.refused);
    const ask = async () => {
      last.current = Date.now();
      try {
        const found = await get<T>(path);
        if (wanted.current === path) set({ path, found, refused: null });
      } catch (error) {
        if (!(error instanceof Refused) || wanted.current !== path) return;
        set((now) => ({ path, found: now.path === path ? now.found : null, refused: error }));
      }
    };
    const timer = setTimeout(ask, first ? 0 : Math.max(last.current + pause - Date.now(), 0));
    return () => clearTimeout(timer);
  }, [path, news]);
  return state.path === path ? state : { found: null, refused: null };
}
