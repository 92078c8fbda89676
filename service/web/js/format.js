// Numbers and times as people read them.

const language = document.documentElement.lang || undefined;
const whole = new Intl.NumberFormat(language);
const day = new Intl.DateTimeFormat(language, { dateStyle: "medium" });
const moment = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });

/** 75 -> "1:15"; unknown -> "–". */
export function clock(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const total = Math.max(0, Math.floor(seconds));
  const hours = Math.floor(total / 3600);
  const minutes = Math.floor((total % 3600) / 60);
  const rest = String(total % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** "1:15" or "75" -> 75; anything else -> null. */
export function secondsOf(text) {
  const match = /^\s*(?:(?:(\d+):)?(\d{1,3}):)?(\d+(?:\.\d+)?)\s*$/.exec(text);
  if (!match) return null;
  return Number(match[1] || 0) * 3600 + Number(match[2] || 0) * 60 + Number(match[3]);
}

/** 0.9973 -> "99.7"; never rounds up to 100. */
export function percent(fraction) {
  return (Math.floor(fraction * 1000) / 10).toFixed(1).replace(/\.0$/, "");
}

export const count = (n) => whole.format(n);
export const date = (iso) => (iso ? day.format(new Date(iso)) : "–");
export const dateTime = (iso) => (iso ? moment.format(new Date(iso)) : "–");

export function bytes(size) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = size;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 && unit ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** How long something still takes, roughly: [number, "seconds" | "minutes" | "hours" | "days"]. */
export function roughly(seconds) {
  if (seconds < 90) return [Math.max(1, Math.round(seconds)), "seconds"];
  if (seconds < 90 * 60) return [Math.round(seconds / 60), "minutes"];
  if (seconds < 48 * 3600) return [Math.round(seconds / 3600), "hours"];
  return [Math.round(seconds / 86400), "days"];
}
