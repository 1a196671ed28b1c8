// The log of any rank of any attempt; followed, its end is asked for again and again.
import { useEffect, useRef, useState } from "preact/hooks";
import { type Attempt, type Row, Refused, get, jobPath } from "./api";
import { Card } from "./parts";

const EVERY = 2000;
const TAIL = 500;

export function Logs({ row, ranks, attempts }: { row: Row; ranks: number; attempts: Attempt[] }) {
  const [rank, setRank] = useState("");
  const [attempt, setAttempt] = useState("");
  const [follow, setFollow] = useState(true);
  const [lines, setLines] = useState<string[]>([]);
  const [note, setNote] = useState("");
  const box = useRef<HTMLPreElement>(null);
  const query = new URLSearchParams({ tail: String(TAIL), ...(rank && { rank }), ...(attempt && { attempt }) });
  const path = `${jobPath(row.namespace, row.name)}/logs?${query}`;
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    const look = async () => {
      try {
        const found = await get<{ lines: string[]; note: string }>(path, abort.signal);
        setLines(found.lines);
        setNote(found.note);
      } catch (error) {
        if (!(error instanceof Refused)) return;
        setLines([]);
        setNote(error.message);
      }
      if (follow && !row.over) timer = window.setTimeout(look, EVERY);
    };
    void look();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [path, follow, row.over, row.attempt, row.phase]);
  useEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines, follow]);
  return (
    <Card id="logs" title="Logs" wide>
      <div class="tools">
        <label>
          Rank
          <select value={rank} onChange={(event) => setRank(event.currentTarget.value)}>
            <option value="">{row.failure ? "first to fail" : "0"}</option>
            {Array.from({ length: ranks }, (_, at) => (
              <option key={at} value={String(at)}>
                {at}
              </option>
            ))}
          </select>
        </label>
        <label>
          Attempt
          <select value={attempt} onChange={(event) => setAttempt(event.currentTarget.value)}>
            <option value="">newest</option>
            {attempts.map((one) => (
              <option key={one.number} value={String(one.number)}>
                {one.number}
              </option>
            ))}
          </select>
        </label>
        <label class="check">
          <input type="checkbox" checked={follow} onChange={(event) => setFollow(event.currentTarget.checked)} />
          Follow
        </label>
      </div>
      {note ? <p class="note">{note}</p> : null}
      <pre ref={box} class="log" role="log" aria-live="off" aria-label={`Log of ${row.name}`} tabIndex={0}>
        {lines.join("\n")}
      </pre>
    </Card>
  );
}
