/** An answer other than success; the text is the body, as the kubelet writes it. */
export class KubeletHttpError extends Error {
  readonly status: number;

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "KubeletHttpError";
    this.status = status;
  }
}
