// Calls to /api/v1. Every failure becomes an ApiError with the service's own code and message.

import { strings } from "./strings.js";

const BASE = "/api/v1";
const KEY_NAME = "muquery.key";
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30000;

export class ApiError extends Error {
  constructor(status, code, message, retryAfterS) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfterS = retryAfterS;
  }
}

export function storedKey() {
  return window.sessionStorage.getItem(KEY_NAME);
}

export function storeKey(key) {
  window.sessionStorage.setItem(KEY_NAME, key);
}

function headers(extra = {}) {
  const key = storedKey();
  return key ? { ...extra, Authorization: `Bearer ${key}` } : extra;
}

function errorFrom(status, body, retryAfter) {
  const error = body && body.error ? body.error : {};
  const afterS = retryAfter ? Number(retryAfter) : undefined;
  return new ApiError(status, error.code || "unknown", error.message || strings.offline, afterS);
}

export async function call(method, path, { json, signal } = {}) {
  const options = { method, signal, headers: headers() };
  if (json !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(json);
  }
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
export const remove = (path) => call("DELETE", path);

/** Upload one file; fetch cannot report how much was sent, so this is an XMLHttpRequest. */
export function upload(file, onProgress) {
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
    request.send(form);
  });
}

/** An address that an <audio> element can play; with a key the bytes are fetched first. */
export async function audioAddress(trackId) {
  const path = `${BASE}/tracks/${encodeURIComponent(trackId)}/audio`;
  if (!storedKey()) return path;
  const response = await fetch(path, { headers: headers() });
  if (!response.ok) throw errorFrom(response.status, await response.json().catch(() => null));
  return URL.createObjectURL(await response.blob());
}

/**
 * Server-sent events, reconnecting with growing pauses; fetch is used because it carries the key.
 *
 * A page that nobody sees holds no stream: browsers open six connections to a host at most, for all
 * its tabs together, and a seventh tab would wait for ever.
 */
export function listen(onEvent) {
  let stream = null;
  let timer = 0;
  let pauseMs = FIRST_PAUSE_MS;
  let lastId = "";

  async function connect() {
    const mine = new AbortController();
    stream = mine;
    try {
      const extra = { Accept: "text/event-stream" };
      if (lastId) extra["Last-Event-ID"] = lastId;
      const options = { headers: headers(extra), signal: mine.signal };
      const response = await fetch(`${BASE}/events`, options);
      if (!response.ok || !response.body) throw new Error("no stream");
      pauseMs = FIRST_PAUSE_MS;
      await readStream(response.body, (event) => {
        if (event.id) lastId = event.id;
        onEvent(event.type, event.data);
      });
    } catch {
      // Trying again below is the whole answer: the service restarts, laptops sleep.
    }
    if (stream !== mine) return;
    timer = window.setTimeout(connect, pauseMs);
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
  }

  function disconnect() {
    const open = stream;
    stream = null;
    window.clearTimeout(timer);
    if (open) open.abort();
  }

  function follow() {
    if (document.visibilityState === "hidden") disconnect();
    else if (!stream) connect();
  }

  document.addEventListener("visibilitychange", follow);
  window.addEventListener("pagehide", disconnect);
  window.addEventListener("pageshow", follow);
  follow();
}

async function readStream(body, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value.replaceAll("\r\n", "\n");
    let end = buffer.indexOf("\n\n");
    while (end >= 0) {
      const event = parseEvent(buffer.slice(0, end));
      if (event) onEvent(event);
      buffer = buffer.slice(end + 2);
      end = buffer.indexOf("\n\n");
    }
  }
}

function parseEvent(block) {
  const event = { type: "message", id: "", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) event.type = line.slice(6).trim();
    else if (line.startsWith("id:")) event.id = line.slice(3).trim();
    else if (line.startsWith("data:")) event.data += line.slice(5).trim();
  }
  if (!event.data) return null;
  try {
    event.data = JSON.parse(event.data);
  } catch {
    return null;
  }
  return event;
}
