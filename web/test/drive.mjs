// Drives the page in a headless Chromium and tells what it saw as JSON. Arguments: the page's address, a folder
// for screenshots, the names of a job that runs, of one that failed, and of a sweep.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [address, folder, runs, failed, sweep] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const seen = { violations: [], errors: [], foreign: [] };

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

async function fresh(width, scheme) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error") seen.errors.push(message.text());
  });
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(address).origin) seen.foreign.push(request.url());
  });
  await page.addInitScript(() => {
    window.cspBroken = [];
    document.addEventListener("securitypolicyviolation", (event) => window.cspBroken.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  return page;
}

async function open(width, scheme) {
  const page = await fresh(width, scheme);
  await page.goto(address);
  await page.getByRole("link", { name: runs }).waitFor();
  return page;
}

async function check(page, where) {
  // evaluated by the debugger, which the page's policy does not bind
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  seen.violations.push(...found.violations.map((one) => `${where}: ${one.id}: ${one.nodes.map((node) => node.html).join(" ")}`));
  seen.errors.push(...(await page.evaluate(() => window.cspBroken)).map((one) => `${where}: CSP ${one}`));
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) seen.errors.push(`${where}: ${wide} px wider than the screen`);
}

const points = (page) => page.locator("figure.chart div[data-points]").first().getAttribute("data-points").then(Number);

for (const [width, scheme] of [
  [1440, "light"],
  [390, "dark"],
]) {
  const page = await open(width, scheme);
  await check(page, `jobs ${width}`);
  await page.screenshot({ path: `${folder}/jobs-${width}.png` });

  await page.getByRole("link", { name: failed }).click();
  await page.getByRole("heading", { name: /^Why: / }).waitFor();
  seen.why = await page.locator(".why").innerText();
  await check(page, `failed ${width}`);
  await page.screenshot({ path: `${folder}/failed-${width}.png` });

  await page.goBack();
  await page.getByRole("link", { name: runs }).click();
  await page.locator("figure.chart canvas").first().waitFor();
  const before = await points(page);
  await page.waitForFunction((known) => Number(document.querySelector("figure.chart div[data-points]").dataset.points) > known, before, { timeout: 60_000 });
  seen[`points${width}`] = [before, await points(page)];
  await page.locator(".log").last().filter({ hasText: /\S/ }).waitFor();
  seen.log = await page.locator(".log").last().innerText();
  await check(page, `job ${width}`);
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: `${folder}/job-${width}.png` });
  await page.screenshot({ path: `${folder}/whole-${width}.png`, fullPage: true });

  await page.goto(`${new URL(address).origin}/#/queue`);
  await page.getByRole("heading", { name: "Queue" }).waitFor();
  await check(page, `queue ${width}`);
  await page.goto(`${new URL(address).origin}/#/compare/${encodeURIComponent(`default/${runs}`)}/${encodeURIComponent(`default/${failed}`)}`);
  await page.locator(".versus").waitFor();
  await check(page, `compare ${width}`);
  await page.screenshot({ path: `${folder}/compare-${width}.png` });

  await page.goto(`${new URL(address).origin}/#/sweeps`);
  await page.getByRole("link", { name: sweep, exact: true }).click();
  await page.getByRole("button", { name: "evalLoss" }).click();
  await page.waitForFunction(() => document.querySelector("th[aria-sort=ascending] button")?.textContent.startsWith("evalLoss"));
  seen.sorted = await page.locator("#trials ~ .scroll tbody th a").allInnerTexts();
  seen.best = await page.locator(".tiles").innerText();
  await check(page, `sweep ${width}`);
  await page.screenshot({ path: `${folder}/sweep-${width}.png` });
  await page.context().close();
}

// by the keyboard alone: the filter, then the job, then its action
const page = await open(1440, "light");
await page.keyboard.press("/");
await page.keyboard.type(runs);
await page.waitForFunction(() => document.querySelectorAll("table.jobs tbody tr").length === 1);
await page.getByRole("link", { name: runs }).focus();
await page.keyboard.press("Enter");
await page.getByRole("button", { name: "Suspend" }).focus();
await page.keyboard.press("Enter");
await page.locator("h1 .phase", { hasText: "Suspended" }).waitFor({ timeout: 120_000 });
seen.suspended = await page.locator(".why").innerText();

// who has no token is asked for one
const stranger = await fresh(1440, "light");
await stranger.goto(new URL(address).origin);
await stranger.getByRole("heading", { name: "Who are you?" }).waitFor();
seen.stranger = await stranger.locator("main").innerText();
await check(stranger, "login");
await browser.close();
console.log(JSON.stringify(seen));
