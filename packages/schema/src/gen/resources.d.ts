export declare const resources: string;
