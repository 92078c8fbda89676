// What the key in use may do: the page hides what would only be refused.

import { get } from "./api.js";

let scopes = null;

/** Ask once at the start; where it cannot be told, everything is shown and refusals say why. */
export async function learnAccess() {
  try {
    scopes = (await get("/keys/own")).scopes;
  } catch {
    scopes = null;
  }
  document.body.classList.toggle("may-not-write", scopes !== null && !scopes.includes("write"));
  document.body.classList.toggle("may-not-admin", scopes !== null && !scopes.includes("admin"));
}

export const mayWrite = () => scopes === null || scopes.includes("write");
