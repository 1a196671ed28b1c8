import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { type Me, Refused, get, keep, takeFromAddress } from "./api";
import { Compare } from "./compare";
import { useHash } from "./hooks";
import { Job } from "./job";
import { Jobs } from "./jobs";
import { connect, useLive } from "./live";
import { Queue } from "./queue";
import { Sweep, Sweeps } from "./sweeps";
import "./style.css";

const THEME = "llmtrain.theme";
const LINKS = { live: "Live", connecting: "Connecting", lost: "Not connected, trying again" };

function Login({ refused, done }: { refused: Refused | null; done: () => void }) {
  const field = useRef<HTMLTextAreaElement>(null);
  const enter = (event: Event) => {
    event.preventDefault();
    keep((field.current?.value ?? "").trim().replace(/^Bearer\s+/i, ""));
    done();
  };
  const known = refused?.status === 403;
  return (
    <main class="login" id="main">
      <h1>{known ? "You may not see jobs here" : refused?.status === 401 ? "Who are you?" : "The page cannot be shown"}</h1>
      <p role="alert">{refused?.message}</p>
      <form onSubmit={enter}>
        <label for="token">Your token for the cluster</label>
        <textarea id="token" ref={field} rows={4} spellcheck={false} autocomplete="off" required />
        <p class="muted">
          One of a ServiceAccount: <code>kubectl create token NAME -n NAMESPACE</code>. On your own machine, open the address that{" "}
          <code>llmtrain web</code> has printed. It is kept in this tab alone, until you close it.
        </p>
        <button type="submit" class="main">
          Show my jobs
        </button>
      </form>
    </main>
  );
}

function View({ hash, theme }: { hash: string; theme: string }) {
  const [kind, first, second] = hash
    .replace(/^#\//, "")
    .split("/")
    .map((part) => decodeURIComponent(part));
  if (kind === "job" && first && second) return <Job key={`${first}/${second}`} namespace={first} name={second} theme={theme} />;
  if (kind === "compare" && first && second) return <Compare key={`${first} ${second}`} a={first} b={second} theme={theme} />;
  if (kind === "sweep" && first && second) return <Sweep key={`${first}/${second}`} namespace={first} name={second} theme={theme} />;
  if (kind === "sweeps") return <Sweeps />;
  if (kind === "queue") return <Queue />;
  return <Jobs />;
}

function Tab({ to, mine = to, hash, children }: { to: string; mine?: string; hash: string; children: string }) {
  return (
    <a href={to} aria-current={hash.startsWith(mine) ? "page" : undefined}>
      {children}
    </a>
  );
}

function preferred(): string {
  return localStorage.getItem(THEME) ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function App() {
  const hash = useHash() || "#/jobs";
  const { link, refused } = useLive();
  const [me, setMe] = useState<Me | null>(null);
  const [trouble, setTrouble] = useState<Refused | null>(null);
  const [theme, setTheme] = useState(preferred);
  const enter = async () => {
    setTrouble(null);
    try {
      setMe(await get<Me>("/api/me"));
      void connect();
    } catch (error) {
      setTrouble(error instanceof Refused ? error : new Refused(0, String(error)));
    }
  };
  useEffect(() => void enter(), []);
  useEffect(() => {
    document.documentElement.dataset["theme"] = theme;
  }, [theme]);
  document.documentElement.dataset["theme"] = theme;
  const turn = () => {
    const next = theme === "dark" ? "light" : "dark";
    localStorage.setItem(THEME, next);
    setTheme(next);
  };
  const leave = () => {
    keep("");
    location.reload();
  };
  const refusal = trouble ?? refused;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>
        To the content
      </a>
      <header>
        <a class="brand" href="#/jobs">
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <path d="M6 8c3 11 8 15 20 16" />
          </svg>
          <span>llmtrain</span>
        </a>
        {refusal ? null : (
          <nav aria-label="Views">
            <Tab to="#/jobs" hash={hash}>
              Jobs
            </Tab>
            <Tab to="#/queue" hash={hash}>
              Queue
            </Tab>
            <Tab to="#/sweeps" mine="#/sweep" hash={hash}>
              Sweeps
            </Tab>
          </nav>
        )}
        <div class="corner">
          {me ? (
            <span class={`link ${link}`} role="status">
              <i aria-hidden="true" />
              <span>{LINKS[link]}</span>
            </span>
          ) : null}
          <button type="button" onClick={turn} aria-label={theme === "dark" ? "Light colours" : "Dark colours"} class="icon">
            {theme === "dark" ? "☀" : "☾"}
          </button>
          {me?.source === "cluster" ? (
            <button type="button" onClick={leave} title={me.user}>
              Leave
            </button>
          ) : null}
        </div>
      </header>
      {refusal ? (
        <Login refused={refusal} done={enter} />
      ) : (
        <main id="main" tabIndex={-1}>
          {me ? <View hash={hash} theme={theme} /> : <p class="empty">Looking …</p>}
        </main>
      )}
    </>
  );
}

takeFromAddress();
const place = document.getElementById("app");
if (place) render(<App />, place);
