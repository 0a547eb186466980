/**
 * The process that holds a pod's namespaces, as machine code for four architectures. It makes four system calls:
 *
 *   rt_sigaction(SIGCHLD, ignore | no-child-wait)   the kernel reaps every orphan by itself, also as process 1
 *   rt_sigprocmask(block SIGTERM and SIGINT)        blocked signals are kept for process 1, where unhandled ones would be dropped
 *   rt_sigtimedwait(SIGTERM and SIGINT), again while it fails
 *   exit(0)
 */
import { linkStaticElf } from "./elf.ts";

export type PauseArchitecture = "amd64" | "arm64" | "arm" | "riscv64";

export const PAUSE_ARCHITECTURES: readonly PauseArchitecture[] = [
  "amd64",
  "arm64",
  "arm",
  "riscv64",
];

const SIGCHLD = 17;
const SIGSET_BYTES = 8;
const IGNORE_HANDLER = 1;
const NO_CHILD_WAIT = 2;
/** Bit n-1 stands for signal n: SIGINT is 2, SIGTERM 15. */
const WAITED_SIGNALS = (1 << 1) | (1 << 14);

export function createPauseProgram(architecture: PauseArchitecture): Buffer {
  switch (architecture) {
    case "amd64":
      return linkStaticElf({
        bits: 64,
        machine: 62,
        flags: 0,
        data: constants64(),
        assemble: (at) => amd64(at, at + 32),
      });
    case "arm64":
      return linkStaticElf({
        bits: 64,
        machine: 183,
        flags: 0,
        data: constants64(),
        assemble: (at) => arm64(at, at + 32),
      });
    case "riscv64":
      return linkStaticElf({
        bits: 64,
        machine: 243,
        flags: 0,
        data: constants64(),
        assemble: (at) => riscv64(at, at + 32),
      });
    case "arm":
      return linkStaticElf({
        bits: 32,
        machine: 40,
        flags: 0x0500_0200,
        data: constants32(),
        assemble: (at) => arm(at, at + 20),
      });
  }
}

/** struct sigaction {handler, flags, restorer, mask} and the signal set. */
function constants64(): Buffer {
  const data = Buffer.alloc(40);
  data.writeBigUInt64LE(BigInt(IGNORE_HANDLER), 0);
  data.writeBigUInt64LE(BigInt(NO_CHILD_WAIT), 8);
  data.writeBigUInt64LE(BigInt(WAITED_SIGNALS), 32);
  return data;
}

function constants32(): Buffer {
  const data = Buffer.alloc(28);
  data.writeUInt32LE(IGNORE_HANDLER, 0);
  data.writeUInt32LE(NO_CHILD_WAIT, 4);
  data.writeUInt32LE(WAITED_SIGNALS, 20);
  return data;
}

function amd64(action: number, set: number): Buffer {
  const setEax = (value: number): Buffer => bytes([0xb8], value);
  const setEdi = (value: number): Buffer => bytes([0xbf], value);
  const setEsi = (value: number): Buffer => bytes([0xbe], value);
  const setR10 = (value: number): Buffer => bytes([0x41, 0xba], value);
  const clearEdi = bytes([0x31, 0xff]);
  const clearEsi = bytes([0x31, 0xf6]);
  const clearEdx = bytes([0x31, 0xd2]);
  const systemCall = bytes([0x0f, 0x05]);
  const wait = Buffer.concat([
    setEax(128),
    setEdi(set),
    clearEsi,
    clearEdx,
    setR10(SIGSET_BYTES),
    systemCall,
  ]);
  const testEax = bytes([0x85, 0xc0]);
  const jumpIfNegative = bytes([0x78, 256 - (wait.length + testEax.length + 2)]);
  return Buffer.concat([
    setEax(13),
    setEdi(SIGCHLD),
    setEsi(action),
    clearEdx,
    setR10(SIGSET_BYTES),
    systemCall,
    setEax(14),
    clearEdi,
    setEsi(set),
    clearEdx,
    setR10(SIGSET_BYTES),
    systemCall,
    wait,
    testEax,
    jumpIfNegative,
    setEax(60),
    clearEdi,
    systemCall,
  ]);
}

function arm64(action: number, set: number): Buffer {
  const move = (register: number, value: number): number =>
    0xd280_0000 | ((value & 0xffff) << 5) | register;
  const moveHigh = (register: number, value: number): number =>
    0xf2a0_0000 | ((value & 0xffff) << 5) | register;
  const address = (register: number, value: number): number[] => [
    move(register, value & 0xffff),
    moveHigh(register, value >>> 16),
  ];
  const systemCall = 0xd400_0001;
  const wait = [
    move(8, 137),
    ...address(0, set),
    move(1, 0),
    move(2, 0),
    move(3, SIGSET_BYTES),
    systemCall,
  ];
  const branchIfNegative = 0x37f8_0000 | ((-wait.length & 0x3fff) << 5);
  return words([
    move(8, 134),
    move(0, SIGCHLD),
    ...address(1, action),
    move(2, 0),
    move(3, SIGSET_BYTES),
    systemCall,
    move(8, 135),
    move(0, 0),
    ...address(1, set),
    move(2, 0),
    move(3, SIGSET_BYTES),
    systemCall,
    ...wait,
    branchIfNegative,
    move(8, 93),
    move(0, 0),
    systemCall,
  ]);
}

function arm(action: number, set: number): Buffer {
  const half = (value: number): number => (((value >> 12) & 0xf) << 16) | (value & 0xfff);
  const move = (register: number, value: number): number =>
    0xe300_0000 | half(value) | (register << 12);
  const moveHigh = (register: number, value: number): number =>
    0xe340_0000 | half(value) | (register << 12);
  const address = (register: number, value: number): number[] => [
    move(register, value & 0xffff),
    moveHigh(register, value >>> 16),
  ];
  const systemCall = 0xef00_0000;
  const compareWithZero = 0xe350_0000;
  const wait = [
    move(7, 177),
    ...address(0, set),
    move(1, 0),
    move(2, 0),
    move(3, SIGSET_BYTES),
    systemCall,
    compareWithZero,
  ];
  /** A branch counts from two instructions ahead of itself. */
  const branchIfNegative = 0xba00_0000 | (-(wait.length + 2) & 0xff_ffff);
  return words([
    move(7, 174),
    move(0, SIGCHLD),
    ...address(1, action),
    move(2, 0),
    move(3, SIGSET_BYTES),
    systemCall,
    move(7, 175),
    move(0, 0),
    ...address(1, set),
    move(2, 0),
    move(3, SIGSET_BYTES),
    systemCall,
    ...wait,
    branchIfNegative,
    move(7, 1),
    move(0, 0),
    systemCall,
  ]);
}

function riscv64(action: number, set: number): Buffer {
  const [a0, a1, a2, a3, a7] = [10, 11, 12, 13, 17];
  const addImmediate = (register: number, source: number, value: number): number =>
    ((value & 0xfff) << 20) | (source << 15) | (register << 7) | 0x13;
  const load = (register: number, value: number): number => addImmediate(register, 0, value);
  const address = (register: number, value: number): number[] => [
    ((value + 0x800) & 0xffff_f000) | (register << 7) | 0x37,
    addImmediate(register, register, value),
  ];
  const systemCall = 0x73;
  const wait = [
    load(a7, 137),
    ...address(a0, set),
    load(a1, 0),
    load(a2, 0),
    load(a3, SIGSET_BYTES),
    systemCall,
  ];
  return words([
    load(a7, 134),
    load(a0, SIGCHLD),
    ...address(a1, action),
    load(a2, 0),
    load(a3, SIGSET_BYTES),
    systemCall,
    load(a7, 135),
    load(a0, 0),
    ...address(a1, set),
    load(a2, 0),
    load(a3, SIGSET_BYTES),
    systemCall,
    ...wait,
    branchIfNegative(a0, -4 * wait.length),
    load(a7, 93),
    load(a0, 0),
    systemCall,
  ]);

  function branchIfNegative(register: number, distance: number): number {
    const scattered =
      (((distance >> 12) & 1) << 31) |
      (((distance >> 5) & 0x3f) << 25) |
      (((distance >> 1) & 0xf) << 8) |
      (((distance >> 11) & 1) << 7);
    return scattered | (register << 15) | (4 << 12) | 0x63;
  }
}

function bytes(opcode: readonly number[], operand?: number): Buffer {
  const code = Buffer.alloc(opcode.length + (operand === undefined ? 0 : 4));
  code.set(opcode);
  if (operand !== undefined) code.writeUInt32LE(operand, opcode.length);
  return code;
}

function words(instructions: readonly number[]): Buffer {
  const code = Buffer.alloc(instructions.length * 4);
  instructions.forEach((instruction, index) => code.writeUInt32LE(instruction >>> 0, index * 4));
  return code;
}
