export declare const protobufFields: string;
