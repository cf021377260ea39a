// What every program here begins with: where the server is, who its clients are, and one line a step.
import { readFileSync } from "node:fs";

export const issuer = process.env.ISSUER;
export const resource = process.env.RESOURCE;
export const isReference = process.env.REFERENCE === "1";
export const mayRegister = process.env.REGISTRATION === "open";
export const clients = JSON.parse(readFileSync(process.env.CLIENTS, "utf8")).programs;

export async function step(name, run) {
  try {
    const value = await run();
    console.log(`ok      ${name}`);
    return value;
  } catch (error) {
    console.log(`FAILED  ${name}`);
    console.log(explain(error));
    process.exit(1);
  }
}

function explain(error, depth = 0) {
  let text = `${error?.stack ?? error}`;
  for (const key of ["code", "error", "error_description", "status"]) if (error?.[key] !== undefined) text += `\n  ${key}: ${error[key]}`;
  if (error?.response) text += `\n  ${error.response.url} ${error.response.status} ${JSON.stringify([...error.response.headers])}`;
  const cause = error?.cause;
  if (cause && depth < 3) text += `\n  cause: ${cause instanceof Error ? explain(cause, depth + 1) : plain(cause)}`;
  return text;
}

function plain(cause) {
  if (cause instanceof URLSearchParams) return String(cause);
  try {
    return JSON.stringify(cause, (_, value) => (value instanceof Error ? value.message : value), 1);
  } catch {
    return String(cause);
  }
}

// Remembers every answer, so that a program can look at what its library hides.
export class Record {
  answers = [];
  fetch = async (address, options) => {
    const response = await fetch(address, options);
    this.answers.push({ path: new URL(String(address)).pathname, status: response.status, headers: response.headers, sent: options?.body });
    return response;
  };
  take() {
    return this.answers.splice(0);
  }
}
