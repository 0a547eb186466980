export declare const columns: string;
