#!/usr/bin/env node
// Starts the program that the package of this machine brought. Node stays next to it; `longhaul install` writes the
// program's own path into the configuration of a host.
"use strict";
const { spawn } = require("node:child_process");

const name = `longhaul-${process.platform}-${process.arch}`;
let program;
try {
  program = require.resolve(`${name}/bin/longhaul`);
} catch {
  console.error(
    `longhaul: the package ${name} is not installed. There are packages for Linux on x64 and arm64; where this is one ` +
      "of them, optional dependencies were left out: install again without --omit=optional. Elsewhere build the " +
      "program from its sources.",
  );
  process.exit(1);
}

const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
child.on("error", (error) => {
  console.error(`longhaul: ${program} cannot be started: ${error.message}`);
  process.exit(1);
});
const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
// Of Ctrl-C a terminal notifies both.
const passOn = (signal) => signal === "SIGINT" && process.stdin.isTTY ? undefined : child.kill(signal);
signals.forEach((signal) => process.on(signal, passOn));
child.on("exit", (code, signal) => {
  if (signal === null) process.exit(code);
  signals.forEach((name) => process.removeListener(name, passOn));
  process.kill(process.pid, signal);
});
