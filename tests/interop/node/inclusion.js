// SPDX-License-Identifier: Apache-2.0
//
// Inclusion proofs and checkpoints written here, judged by Sigstore's client for JavaScript, @sigstore/verify.
//
//   node inclusion.js < cases.json
//
// Cases are {checkpoint, entry, hashes, index, key, origin}, the bytes in base64 and the checkpoint as its text; printed
// is a list of "ok" or what the client said.
"use strict";

const { createHash, createPublicKey } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { verifyCheckpoint } = require("@sigstore/verify/dist/tlog/checkpoint");
const { verifyMerkleInclusion } = require("@sigstore/verify/dist/tlog/merkle");

const ED25519_SPKI = Buffer.from("302a300506032b6570032100", "hex");

// The log as Sigstore's trusted root would name it. Its key id is that of a signed note with an Ed25519 key.
function log(origin, raw) {
  const id = createHash("sha256").update(`${origin}\n`).update(Buffer.from([1])).update(raw).digest();
  const key = Buffer.concat([ED25519_SPKI, raw]);
  return { logID: id, baseURL: origin, publicKey: createPublicKey({ key, format: "der", type: "spki" }) };
}

function judge(each) {
  const bytes = (text) => Buffer.from(text, "base64");
  const entry = {
    canonicalizedBody: bytes(each.entry),
    inclusionProof: {
      checkpoint: { envelope: each.checkpoint },
      hashes: each.hashes.map(bytes),
      logIndex: String(each.index),
    },
  };
  try {
    verifyMerkleInclusion(entry, verifyCheckpoint(entry, [log(each.origin, bytes(each.key))]));
    return "ok";
  } catch (error) {
    return String(error.message);
  }
}

console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(judge)));
