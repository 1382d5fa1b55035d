// One Chromium for a module's tests: a JSON line in is a command, a JSON line out is its answer.
//
//   {"do": "docs", "origin": …}                    open the documentation and try a route on it
//   {"do": "signin", "origin": …, "wallets": […]}  open examples/api/signin, with an authenticator and those wallets
//   {"do": "steps", "steps": […]}                  press what a step names; gives what the page said to each
//   {"do": "replay", "path": …}                    send the page's last request to a path a second time
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const TIMEOUT_MS = 120_000; // Two loaded cores: nothing here is about speed.
const PAGE = new URL("../../../examples/api/signin/", import.meta.url);
const CAST = new URL("../../../node_modules/@foundry-rs/cast-linux-amd64/bin/cast", import.meta.url).pathname;
const TYPES = { html: "text/html", js: "text/javascript" };

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});
let page, sent;

async function open() {
  await page?.context().close();
  page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  sent = [];
  const seen = { errors: [], requests: [] };
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("request", (request) => {
    seen.requests.push(request.url());
    if (request.method() === "POST") sent.push({ url: request.url(), body: request.postData() });
  });
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
  });
  return seen;
}

async function docs({ origin }) {
  const seen = await open();
  // The page's own address of a route: it opens with its tag unfolded.
  const { paths } = await (await page.request.get(`${origin}/openapi.json`)).json();
  const { tags = ["default"], operationId } = paths["/v1/health"].get;
  const answer = await page.goto(`${origin}/docs#/${encodeURIComponent(tags[0])}/${operationId}`);
  const route = page.locator(".opblock").filter({ has: page.locator("[data-path='/v1/health']") });
  await route.getByRole("button", { name: "Try it out" }).click();
  await route.getByRole("button", { name: "Execute" }).click();
  const sections = await page.locator(".opblock-tag").count();
  const told = await route.locator(".live-responses-table tbody .response-col_status").first().innerText();
  const violations = await page.evaluate(() => window.violations.slice());
  // What the policy forbids is stopped, and would have been noticed.
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.injected = true";
    document.body.append(script);
  });
  await page.waitForFunction((before) => window.violations.length > before, violations.length);
  const after = await page.evaluate(() => [window.violations.at(-1), window.injected === true]);
  return {
    status: answer.status(), sections, told, violations, after, errors: seen.errors,
    elsewhere: seen.requests.filter((url) => !url.startsWith(origin) && !url.startsWith("data:")),
  };
}

async function signin({ origin, wallets = [], verifies = true }) {
  await open();
  await page.route(`${origin}/signin/*`, (route) => {
    const name = new URL(route.request().url()).pathname.split("/").pop() || "index.html";
    const headers = { "content-security-policy": "default-src 'none'; script-src 'self'; connect-src 'self'" };
    return route.fulfill({ body: readFileSync(new URL(name, PAGE)), contentType: TYPES[name.split(".").pop()], headers });
  });
  // personal_sign as wallets do it, by foundry's cast.
  await page.exposeFunction("castSign", (key, data) =>
    execFileSync(CAST, ["wallet", "sign", "--private-key", key, data], { encoding: "utf8" }).trim(),
  );
  await page.addInitScript((given) => {
    for (const { name, address, key } of given) {
      const request = async ({ method, params }) => {
        if (method === "eth_requestAccounts") return [address];
        if (method === "eth_chainId") return "0x1";
        if (method === "personal_sign" && params[1] === address) return window.castSign(key, params[0]);
        throw new Error(`unsupported: ${method}`);
      };
      const info = { uuid: crypto.randomUUID(), name, icon: "data:,", rdns: "example.wallet" };
      const detail = Object.freeze({ info, provider: { request } });
      const announce = () => window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
      window.addEventListener("eip6963:requestProvider", announce);
      announce();
    }
  }, wallets);
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("WebAuthn.enable");
  await devtools.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true,
      isUserVerified: verifies, automaticPresenceSimulation: true,
    },
  });
  await page.goto(`${origin}/signin/`);
  return {};
}

async function steps({ steps }) {
  const said = [];
  for (const { press, fill = {} } of steps) {
    for (const [label, value] of Object.entries(fill)) await page.getByLabel(label).fill(value);
    await page.getByRole("button", { name: press, exact: true }).click();
    const status = page.getByRole("status").filter({ hasNotText: /^…?$/ });
    said.push(await status.innerText());
  }
  return { said };
}

async function replay({ path }) {
  const { url, body } = sent.findLast((request) => new URL(request.url).pathname === path);
  return page.evaluate(
    async ([url, body]) => {
      const answer = await fetch(url, { method: "POST", body, headers: { "content-type": "application/json" } });
      return { status: answer.status, said: await answer.json() };
    },
    [url, body],
  );
}

const COMMANDS = { docs, signin, steps, replay };
console.log(JSON.stringify({ ready: true, version: browser.version() }));
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    console.log(JSON.stringify(await COMMANDS[command.do](command)));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.stack) }));
  }
}
await browser.close();
