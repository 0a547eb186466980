export declare const definitions: string;
