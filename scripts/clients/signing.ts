// Signs requests with an API key: docs/api/auth.md has the five lines. Web Crypto alone, so it runs in browsers and Node.
import createClient, { type Client, type Middleware } from "openapi-fetch";

import type { paths } from "./schema.js";

export type Secret = { algorithm: "ed25519"; key: CryptoKey } | { algorithm: "hmac-sha256"; key: CryptoKey };

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

const base64url = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** Reads the secret of an HMAC key, base64url as it was shown. */
export async function hmacSecret(text: string): Promise<Secret> {
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return { algorithm: "hmac-sha256", key };
}

/** Signs every request that a client sends. */
export function signedRequests(key: string, secret: Secret): Middleware {
  return {
    async onRequest({ request }) {
      const body = new Uint8Array(await request.clone().arrayBuffer());
      const digest = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", body)));
      const url = new URL(request.url);
      const timestamp = Date.now().toString();
      const nonce = hex(crypto.getRandomValues(new Uint8Array(16)));
      const lines = [timestamp, request.method, url.pathname + url.search, digest, nonce].join("\n");
      const name = secret.algorithm === "ed25519" ? "Ed25519" : "HMAC";
      const signature = await crypto.subtle.sign(name, secret.key, new TextEncoder().encode(lines));
      request.headers.set("API-Key", key);
      request.headers.set("API-Timestamp", timestamp);
      request.headers.set("API-Nonce", nonce);
      request.headers.set("API-Signature", base64url(new Uint8Array(signature)));
      return request;
    },
  };
}

/** A client whose every request is signed. */
export function signedClient(baseUrl: string, key: string, secret: Secret): Client<paths> {
  const client = createClient<paths>({ baseUrl });
  client.use(signedRequests(key, secret));
  return client;
}
