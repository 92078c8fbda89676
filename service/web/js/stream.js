// Server-sent events, reconnecting with growing pauses; fetch is used because it carries the key.

import { BASE, headers } from "./api.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30000;

/**
 * Hear of every event: onEvent(type, data).
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
