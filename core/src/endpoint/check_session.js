"use strict";
const digest = async (text) => {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  const hash = btoa(String.fromCharCode(...new Uint8Array(bytes)));
  return hash.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
};

// The page that has us in its frame, and its other frames, are of one origin or they are nobody's.
const isFromApplication = ({ source, origin }) => {
  if (window === parent || source === null || origin === "null") return false;
  const ancestors = location.ancestorOrigins;
  return ancestors ? origin === ancestors[0] : source === parent || source.parent === parent;
};

const answer = async (message, origin) => {
  const parts = typeof message === "string" ? /^([!-~]+) ([\w-]+)\.([\w-]+)$/.exec(message) : null;
  if (parts === null) return "error";
  const [, client, hash, salt] = parts;
  const cookie = /(?:^|; )grantor_browser_state=([^;]*)/.exec(document.cookie);
  const state = cookie === null || cookie[1] === "nobody" ? "" : cookie[1];
  const now = await digest(`${client} ${origin} ${state} ${salt}`);
  if (now === hash) return "unchanged";
  // Without a cookie, the browser may only be keeping it from frames in pages of other sites.
  return cookie === null ? "error" : "changed";
};

addEventListener("message", async (event) => {
  if (!isFromApplication(event)) return;
  const said = await answer(event.data, event.origin).catch(() => "error");
  event.source.postMessage(said, event.origin);
});
