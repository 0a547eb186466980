/** Where every program is loaded. One segment, readable and executable, holds headers, code and constants. */
const LOAD_ADDRESS = 0x40_0000;
const PAGE_ALIGNMENT = 0x1_0000;
const EXECUTABLE_TYPE = 2;
const LOAD_SEGMENT = 1;
const READ_EXECUTE = 5;

export interface StaticProgram {
  readonly bits: 32 | 64;
  /** ELF's number of the architecture (e_machine). */
  readonly machine: number;
  readonly flags: number;
  readonly data: Buffer;
  /** Assembles the code for data that lies at the given address; the length must not depend on it. */
  assemble(dataAddress: number): Buffer;
}

/** A little-endian static ELF executable without sections. */
export function linkStaticElf(program: StaticProgram): Buffer {
  const headerBytes = program.bits === 64 ? 64 + 56 : 52 + 32;
  const codeBytes = program.assemble(0).length;
  const dataOffset = (headerBytes + codeBytes + 7) & ~7;
  const file = Buffer.alloc(dataOffset + program.data.length);
  file.set([0x7f, 0x45, 0x4c, 0x46, program.bits === 64 ? 2 : 1, 1, 1]);
  file.writeUInt16LE(EXECUTABLE_TYPE, 16);
  file.writeUInt16LE(program.machine, 18);
  file.writeUInt32LE(1, 20);
  if (program.bits === 64) writeHeaders64(file, program.flags, LOAD_ADDRESS + headerBytes);
  else writeHeaders32(file, program.flags, LOAD_ADDRESS + headerBytes);
  program.assemble(LOAD_ADDRESS + dataOffset).copy(file, headerBytes);
  program.data.copy(file, dataOffset);
  return file;
}

function writeHeaders64(file: Buffer, flags: number, entry: number): void {
  file.writeBigUInt64LE(BigInt(entry), 24);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt32LE(flags, 48);
  file.writeUInt16LE(64, 52);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(1, 56);
  file.writeUInt16LE(64, 58);
  file.writeUInt32LE(LOAD_SEGMENT, 64);
  file.writeUInt32LE(READ_EXECUTE, 68);
  file.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 80);
  file.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 88);
  file.writeBigUInt64LE(BigInt(file.length), 96);
  file.writeBigUInt64LE(BigInt(file.length), 104);
  file.writeBigUInt64LE(BigInt(PAGE_ALIGNMENT), 112);
}

function writeHeaders32(file: Buffer, flags: number, entry: number): void {
  file.writeUInt32LE(entry, 24);
  file.writeUInt32LE(52, 28);
  file.writeUInt32LE(flags, 36);
  file.writeUInt16LE(52, 40);
  file.writeUInt16LE(32, 42);
  file.writeUInt16LE(1, 44);
  file.writeUInt16LE(40, 46);
  file.writeUInt32LE(LOAD_SEGMENT, 52);
  file.writeUInt32LE(LOAD_ADDRESS, 60);
  file.writeUInt32LE(LOAD_ADDRESS, 64);
  file.writeUInt32LE(file.length, 68);
  file.writeUInt32LE(file.length, 72);
  file.writeUInt32LE(READ_EXECUTE, 76);
  file.writeUInt32LE(PAGE_ALIGNMENT, 80);
}
