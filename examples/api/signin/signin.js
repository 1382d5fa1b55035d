// A sign-in page of one's own: password, passkey (WebAuthn) and wallet (Sign-In with Ethereum).
//
// Serve it on the origin that the API has as `[api] url`, or on one of `[api] origins` with a proxy that passes /v1 on.
// There is nothing to build and nothing is loaded from elsewhere. The access token stays in this module's memory.

let token = "";

const at = (id) => document.getElementById(id);
const text = new TextEncoder();

async function ask(method, path, value, headers = {}) {
  const body = value === undefined ? undefined : JSON.stringify(value);
  const sent = { ...headers };
  if (body !== undefined) sent["content-type"] = "application/json";
  if (token) sent.authorization = `Bearer ${token}`;
  const answer = await fetch(path, { method, body, headers: sent });
  const said = await answer.json();
  if (answer.ok) return said;
  // A passkey is at hand, so what wants a confirmation is confirmed and sent again.
  if (said.code === "step_up_required" && !headers["step-up"]) {
    return ask(method, path, value, { ...headers, "step-up": await confirm(method, path, body ?? "") });
  }
  throw new Error(`${said.code}: ${said.detail}`);
}

const hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
const sha256 = async (message) => hex(await crypto.subtle.digest("SHA-256", text.encode(message)));

// Confirm exactly one request with a passkey: docs/api/auth.md, "Step-up".
async function confirm(method, path, body) {
  const digest = await sha256([method, path, await sha256(body)].join("\n"));
  const { challenge, public_key } = await ask("POST", "/v1/auth/step-ups", { digest });
  if (!public_key) throw new Error("no_passkey: this has to be confirmed with a code");
  const { step_up } = await ask("POST", "/v1/auth/step-ups/confirmation", { challenge, credential: await use(public_key) });
  return step_up;
}

async function use(options) {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return (await navigator.credentials.get({ publicKey })).toJSON();
}

async function logInByPassword(form) {
  await enter(await ask("POST", "/v1/auth/login", Object.fromEntries(new FormData(form))));
}

async function logInByPasskey() {
  const { public_key } = await ask("POST", "/v1/auth/passkeys/login/options");
  await enter(await ask("POST", "/v1/auth/passkeys/login", { credential: await use(public_key) }));
}

async function addPasskey() {
  const { public_key } = await ask("POST", "/v1/auth/passkeys/registration");
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(public_key);
  const credential = (await navigator.credentials.create({ publicKey })).toJSON();
  const { name } = await ask("POST", "/v1/auth/passkeys", { name: "this browser", credential });
  say(`passkey added: ${name}`);
}

// The wallet shows its owner the message, which names this site; the API gave the nonce in it, and takes it once.
async function signedBy({ provider }) {
  const [address] = await provider.request({ method: "eth_requestAccounts" });
  const chain = Number(await provider.request({ method: "eth_chainId" }));
  const { message } = await ask("POST", `/v1/auth/siwe/nonce?address=${address}&chain_id=${chain}`);
  const data = `0x${hex(text.encode(message))}`;
  return { message, signature: await provider.request({ method: "personal_sign", params: [data, address] }) };
}

async function logInByWallet(wallet) {
  await enter(await ask("POST", "/v1/auth/siwe", await signedBy(wallet)));
}

async function linkWallet(wallet) {
  const { address } = await ask("POST", "/v1/auth/wallets", await signedBy(wallet));
  say(`wallet linked: ${address}`);
}

async function enter(pair) {
  token = pair.access_token;
  const { email } = await ask("GET", "/v1/auth/me");
  show(true);
  say(`signed in: ${email}`);
}

async function leave() {
  await ask("POST", "/v1/auth/logout");
  token = "";
  show(false);
  say("signed out");
}

function show(isInside) {
  at("inside").hidden = !isInside;
  at("outside").hidden = isInside;
}

function say(what) {
  at("said").textContent = what;
}

// Says how it ended, whatever it is: the last words stay until the next button.
function does(work) {
  return async (event) => {
    event.preventDefault();
    say("…");
    try {
      await work(event.currentTarget ?? event.target);
    } catch (error) {
      say(`refused: ${error.name === "Error" ? error.message : error.name}`);
    }
  };
}

function button(label, work) {
  const made = document.createElement("button");
  made.textContent = label;
  made.addEventListener("click", does(work));
  return made;
}

// EIP-6963: every wallet of this browser says who it is.
const known = new Set();
window.addEventListener("eip6963:announceProvider", ({ detail }) => {
  if (known.has(detail.info.uuid)) return;
  known.add(detail.info.uuid);
  at("wallet-logins").append(button(`Log in with ${detail.info.name}`, () => logInByWallet(detail)));
  at("wallet-links").append(button(`Link ${detail.info.name}`, () => linkWallet(detail)));
});

at("password").addEventListener("submit", does(() => logInByPassword(at("password"))));
at("passkey-login").addEventListener("click", does(logInByPasskey));
at("passkey-add").addEventListener("click", does(addPasskey));
at("leave").addEventListener("click", does(leave));
window.dispatchEvent(new Event("eip6963:requestProvider"));
