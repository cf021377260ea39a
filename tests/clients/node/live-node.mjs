import { Centrifuge } from "centrifuge";
import WebSocket from "ws";
import { live } from "./live.mjs";

const { ISSUER, REALTIME, STAGE } = process.env;
console.log(await live(Centrifuge, { issuer: ISSUER, realtime: REALTIME, stage: STAGE, websocket: WebSocket }));
process.exit(0);
