// Calls to /api/v1. Every failure becomes an ApiError with the service's own code and message.

import { strings } from "./strings.js";

export const BASE = "/api/v1";
const KEY_NAME = "muquery.key";

export class ApiError extends Error {
  constructor(status, code, message, { details = {}, retryAfterS } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
    this.retryAfterS = retryAfterS;
  }
}

export function storedKey() {
  return window.sessionStorage.getItem(KEY_NAME);
}

export function storeKey(key) {
  window.sessionStorage.setItem(KEY_NAME, key);
}

export function headers(extra = {}) {
  const key = storedKey();
  return key ? { ...extra, Authorization: `Bearer ${key}` } : extra;
}

function errorFrom(status, body, retryAfter) {
  const error = body && body.error ? body.error : {};
  return new ApiError(status, error.code || "unknown", error.message || strings.offline, {
    details: error.details,
    retryAfterS: retryAfter ? Number(retryAfter) : undefined,
  });
}

/** Call the API; `json` or `form` is the body. `keepalive` lets the call outlive the page. */
export async function call(method, path, { json, form, signal, keepalive } = {}) {
  const options = { method, signal, keepalive, headers: headers() };
  if (json !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(json);
  } else if (form) options.body = form;
  let response;
  try {
    response = await fetch(BASE + path, options);
  } catch (failure) {
    if (failure.name === "AbortError") throw failure;
    throw new ApiError(0, "unreachable", strings.offline);
  }
  if (response.status === 204) return null;
  const body = await response.json().catch(() => null);
  if (!response.ok) throw errorFrom(response.status, body, response.headers.get("Retry-After"));
  return body;
}

export const get = (path, options) => call("GET", path, options);
export const post = (path, json, options) => call("POST", path, { json, ...options });
export const put = (path, json) => call("PUT", path, { json });
export const patch = (path, json) => call("PATCH", path, { json });
export const remove = (path, options) => call("DELETE", path, options);

/** "/tracks/x/waveform" from ("tracks", "x", "waveform"): each step is escaped. */
export function at(...steps) {
  return steps.map((step) => `/${encodeURIComponent(step)}`).join("");
}

/** A path with its parameters; those that are null, undefined or empty are left out. */
export function withParams(path, params) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") search.set(name, String(value));
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

/**
 * Upload one file; fetch cannot report how much was sent, so this is an XMLHttpRequest.
 * `signal` ends it early, with an AbortError.
 */
export function upload(file, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    form.append("file", file, file.name);
    const request = new XMLHttpRequest();
    request.open("POST", `${BASE}/tracks`);
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    });
    request.addEventListener("load", () => {
      if (request.status >= 200 && request.status < 300) resolve(request.response);
      else reject(errorFrom(request.status, request.response, request.getResponseHeader("Retry-After")));
    });
    request.addEventListener("error", () => reject(new ApiError(0, "unreachable", strings.offline)));
    request.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/** An address that an <audio> element can play; with a key the bytes are fetched first. */
export async function audioAddress(trackId) {
  const path = BASE + at("tracks", trackId, "audio");
  if (!storedKey()) return path;
  const response = await fetch(path, { headers: headers() });
  if (!response.ok) throw errorFrom(response.status, await response.json().catch(() => null));
  return URL.createObjectURL(await response.blob());
}
