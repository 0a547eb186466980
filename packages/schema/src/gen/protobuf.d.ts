export declare const protobuf: string;
