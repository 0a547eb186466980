export declare const groups: string;
