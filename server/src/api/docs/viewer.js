// Shows /openapi.json, and sends what is tried to this server. Everything is made as text nodes, so
// nothing in the document can become markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
const byId = (id) => document.getElementById(id);

function make(tag, properties, ...children) {
  const { className, ...others } = properties || {};
  const node = Object.assign(document.createElement(tag), others);
  if (className) node.className = className;
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const resolve = (api, part) =>
  part && part.$ref ? part.$ref.slice(2).split("/").reduce((at, name) => at[name], api) : part;

/** A schema in short: what it is, and what it holds down to a depth. */
function describe(api, schema, depth) {
  const found = resolve(api, schema) || {};
  const choices = found.oneOf || found.anyOf;
  if (choices) return choices.map((one) => describe(api, one, depth)).join(" | ");
  if (found.allOf) return found.allOf.map((one) => describe(api, one, depth)).join(" & ");
  if (found.enum) return found.enum.map((value) => JSON.stringify(value)).join(" | ");
  const type = [].concat(found.type || "any").join(" | ");
  if (found.items) return `[${describe(api, found.items, depth)}]`;
  if (!found.properties) return type;
  if (depth > 4) return "{...}";
  const indent = "  ".repeat(depth + 1);
  const needed = found.required || [];
  const lines = Object.entries(found.properties).map(([name, part]) => {
    const about = resolve(api, part).description || part.description || "";
    const mark = needed.includes(name) ? "" : "?";
    const comment = about ? `  // ${about.replace(/\s+/g, " ")}` : "";
    return `${indent}${name}${mark}: ${describe(api, part, depth + 1)}${comment}`;
  });
  return `{\n${lines.join("\n")}\n${"  ".repeat(depth)}}`;
}

function example(api, schema) {
  const found = resolve(api, schema) || {};
  if (found.example !== undefined) return found.example;
  if (found.oneOf || found.allOf) return example(api, (found.oneOf || found.allOf)[0]);
  if (found.enum) return found.enum[0];
  const type = [].concat(found.type || "string")[0];
  if (type === "array") return [example(api, found.items)];
  if (type === "object") {
    const needed = found.required || Object.keys(found.properties || {});
    return Object.fromEntries(needed.map((name) => [name, example(api, found.properties[name])]));
  }
  return { integer: 0, number: 0, boolean: true }[type] ?? "";
}

const bodyOf = (api, holder) => {
  const content = Object.values((resolve(api, holder) || {}).content || {})[0];
  return content && content.schema;
};

function parameters(operation) {
  const rows = (operation.parameters || []).map((parameter) => {
    const input = make("input", { name: parameter.name, required: parameter.required });
    input.dataset.where = parameter.in;
    const kind = [].concat((parameter.schema || {}).type || []).join(" | ");
    return make("tr", null,
      make("td", null, make("code", null, parameter.name)),
      make("td", { className: "note" }, `${parameter.in}, ${kind}${parameter.required ? "" : ", optional"}`),
      make("td", null, parameter.description || ""),
      make("td", null, input));
  });
  return rows.length ? make("table", null, make("tbody", null, ...rows)) : null;
}

function responses(api, operation) {
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    const schema = bodyOf(api, response);
    const shape = schema && status < "300" ? make("pre", null, describe(api, schema, 0)) : null;
    const headers = Object.keys(response.headers || {}).join(", ");
    return make("tr", null,
      make("td", null, make("code", null, status)),
      make("td", null, response.description, headers ? make("div", { className: "note" }, headers) : null, shape));
  });
  return make("table", null, make("tbody", null, ...rows));
}

async function send(path, method, form, answer) {
  const headers = {};
  const query = new URLSearchParams();
  let url = path;
  for (const input of form.querySelectorAll("input")) {
    if (input.value === "") continue;
    if (input.dataset.where === "path") url = url.replace(`{${input.name}}`, encodeURIComponent(input.value));
    if (input.dataset.where === "query") query.set(input.name, input.value);
    if (input.dataset.where === "header") headers[input.name] = input.value;
  }
  if (byId("token").value) headers.Authorization = `Bearer ${byId("token").value}`;
  const area = form.querySelector("textarea");
  const body = area && area.value.trim() ? area.value : undefined;
  if (body) headers["Content-Type"] = "application/json";
  answer.textContent = "...";
  try {
    const reply = await fetch(query.size ? `${url}?${query}` : url, { method: method.toUpperCase(), headers, body });
    const text = await reply.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* Not JSON: as it is. */ }
    const named = ["etag", "location", "retry-after"].filter((name) => reply.headers.has(name));
    const lines = named.map((name) => `${name}: ${reply.headers.get(name)}`);
    answer.textContent = [`${reply.status} ${reply.statusText}`, ...lines, "", shown].join("\n");
  } catch (error) {
    answer.textContent = `not sent: ${error.message}`;
  }
}

function show(api, path, method, operation) {
  const wanted = bodyOf(api, operation.requestBody);
  const answer = make("pre", null, "");
  const form = make("div", null,
    parameters(operation),
    wanted ? make("pre", null, describe(api, wanted, 0)) : null,
    wanted ? make("textarea", { value: JSON.stringify(example(api, wanted), null, 2) }) : null);
  const button = make("button", { type: "button" }, "Try");
  button.addEventListener("click", () => send(path, method, form, answer));
  const open = (operation.security || [0]).some((one) => one && Object.keys(one).length === 0);
  const node = make("details", { className: "operation" },
    make("summary", null,
      make("span", { className: `method ${method}` }, method),
      make("span", { className: "path" }, path), " ",
      make("span", { className: "note" }, operation.summary || "")),
    make("p", null, operation.description || operation.summary || "", open ? " Needs no token." : ""),
    form, button, answer, responses(api, operation));
  node.dataset.text = `${method} ${path} ${JSON.stringify(operation)}`.toLowerCase();
  return node;
}

async function main() {
  const api = await (await fetch("/openapi.json")).json();
  byId("about").textContent = `Version ${api.info.version}. ${api.info.description}`;
  const groups = new Map(api.tags.map((tag) => [tag.name, []]));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      const tag = (item[method].tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(show(api, path, method, item[method]));
    }
  }
  for (const [tag, nodes] of groups) {
    const about = (api.tags.find((one) => one.name === tag) || {}).description || "";
    byId("operations").append(make("section", null, make("h2", null, tag), make("p", null, about), ...nodes));
  }
  byId("filter").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const node of document.querySelectorAll("details.operation")) {
      node.hidden = !words.every((word) => node.dataset.text.includes(word));
    }
  });
}

main().catch((error) => { byId("about").textContent = `The document cannot be read: ${error.message}`; });
