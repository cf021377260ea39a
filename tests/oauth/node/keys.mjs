// Prints a key pair for private_key_jwt: the private JWK for a program, the public set for the server.
import { exportJWK, generateKeyPair, calculateJwkThumbprint } from "jose";

const { privateKey, publicKey } = await generateKeyPair(process.argv[2] ?? "RS256", { extractable: true });
const kid = await calculateJwkThumbprint(await exportJWK(publicKey));
const more = { kid, alg: process.argv[2] ?? "RS256", use: "sig" };
console.log(JSON.stringify({ private: { ...(await exportJWK(privateKey)), ...more }, public: { keys: [{ ...(await exportJWK(publicKey)), ...more }] } }));
