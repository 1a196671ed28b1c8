// A headless Chromium that notes what a page must not do: errors, foreign requests, what its policy stopped, what
// axe finds, and content wider than the screen.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** A browser at an address, and what it has seen so far. */
export async function launched(address) {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  const { origin } = new URL(address);
  const seen = { violations: [], errors: [], foreign: [] };

  async function fresh(width, scheme) {
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme });
    const page = await context.newPage();
    page.on("console", (message) => {
      if (message.type() === "error") seen.errors.push(message.text());
    });
    page.on("pageerror", (error) => seen.errors.push(String(error)));
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== origin) seen.foreign.push(request.url());
    });
    await page.addInitScript(() => {
      window.cspBroken = [];
      document.addEventListener("securitypolicyviolation", (event) => window.cspBroken.push(`${event.violatedDirective} ${event.blockedURI}`));
    });
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

  return { browser, origin, seen, fresh, check };
}

const points = (page) => page.locator("figure.chart div[data-points]").first().getAttribute("data-points").then(Number);

/** How many points a job's first curve has, and how many a while later: more. */
export async function moves(page) {
  await page.locator("figure.chart canvas").first().waitFor({ timeout: 120_000 });
  const before = await points(page);
  await page.waitForFunction((known) => Number(document.querySelector("figure.chart div[data-points]").dataset.points) > known, before, { timeout: 120_000 });
  return [before, await points(page)];
}

/** The log that a job's page shows, once it has lines. */
export async function log(page) {
  await page.locator(".log").last().filter({ hasText: /\S/ }).waitFor({ timeout: 60_000 });
  return page.locator(".log").last().innerText();
}
