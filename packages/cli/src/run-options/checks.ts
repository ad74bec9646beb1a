/** Checks of single flag values. They run while the command line is parsed. */
import { parseDeviceBytes, parseDeviceOperations, parseDeviceWeight } from "./device-limits.ts";
import { parseNetwork } from "./networks.ts";
import { parseMount } from "./mount.ts";
import {
  parseAddHost,
  parseBytes,
  parseDuration,
  parseIpAddress,
  parseNanoCpus,
  parsePairs,
  parseUlimit,
} from "./values.ts";

export const checkAddHost = (value: string): void => void parseAddHost(value);
export const checkDns = (value: string): void => void parseIpAddress(value);
export const checkDecimal = (value: string): void => void parseNanoCpus(value);
export const checkDuration = (value: string): void => void parseDuration(value);
export const checkMount = (value: string): void => void parseMount(value);
export const checkUlimit = (value: string): void => void parseUlimit(value);
export const checkBytes = (value: string): void => void parseBytes(value);
/** -1 means no limit. */
export const checkSwap = (value: string): void => {
  if (value !== "-1") parseBytes(value);
};
export const checkEnvironment = (value: string): void => {
  if (value === "" || value.startsWith("=")) throw new Error(`invalid environment variable: ${value}`);
};
export const checkStream = (value: string): void => {
  if (!["stdin", "stdout", "stderr"].includes(value.toLowerCase()))
    throw new Error("valid streams are STDIN, STDOUT and STDERR");
};
export const checkDeviceCgroupRule = (value: string): void => {
  if (!/^[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$/.test(value))
    throw new Error(`invalid device cgroup format '${value}'`);
};
export const checkUint16 = (value: string): void => {
  if (Number(value) > 0xffff)
    throw new Error(`strconv.ParseUint: parsing ${JSON.stringify(value)}: value out of range`);
};
export const checkDeviceBytes = (value: string): void => void parseDeviceBytes(value);
export const checkDeviceOperations = (value: string): void => void parseDeviceOperations(value);
export const checkDeviceWeight = (value: string): void => void parseDeviceWeight(value);
export const checkLink = (value: string): void => {
  if (value === "") throw new Error("empty string specified for links");
  if (value.split(":").length > 2) throw new Error(`bad format for links: ${value}`);
};
/** The flag's default. Images cannot be verified in Docker's way (Notary), which docker 29 has removed too. */
export const checkNoContentTrust = (value: string): void => {
  if (!/^(1|t|true)$/i.test(value)) throw new Error("content trust is not supported");
};
export const checkPairs = (value: string): void => void parsePairs(value);
export const checkNetwork = (value: string): void => void parseNetwork(value);
