/**
 * Rules for names, labels and generated suffixes. The `…Errors` functions return upstream's texts, none for a valid value;
 * `fieldInvalid(path, value, text)` makes a cause of one.
 */

/** Letters and digits that cannot form words, as upstream's rand.String uses them. */
const suffixAlphabet = "bcdfghjklmnpqrstvwxz2456789";
const suffixLength = 5;
/** generateName is cut so that the whole name stays within 63 characters. */
const generatedBaseMax = 63 - suffixLength;

const labelText =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const subdomainText =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const dns1035Text =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const qualifiedText =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const labelValueText =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const configKeyText =
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

const labelPattern = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const dns1035Pattern = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const namePattern = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const configKeyPattern = /^[-._a-zA-Z0-9]+$/;

/** The random part of a name made from generateName. `random` gives numbers in [0, 1). */
export function generateNameSuffix(random: () => number): string {
  let suffix = "";
  for (let index = 0; index < suffixLength; index += 1) {
    suffix += suffixAlphabet[Math.floor(random() * suffixAlphabet.length)] ?? "b";
  }
  return suffix;
}

export function generateName(base: string, random: () => number): string {
  return base.slice(0, generatedBaseMax) + generateNameSuffix(random);
}

/** Replaces each character of a hash by one of the same alphabet, so that no hash reads as a word. */
export function safeEncode(text: string): string {
  let encoded = "";
  for (let index = 0; index < text.length; index += 1) {
    encoded += suffixAlphabet[text.charCodeAt(index) % suffixAlphabet.length] ?? "b";
  }
  return encoded;
}

export function nameIsDnsSubdomain(name: string): boolean {
  return dnsSubdomainErrors(name).length === 0;
}

export function nameIsDnsLabel(name: string): boolean {
  return dnsLabelErrors(name).length === 0;
}

export function dnsLabelErrors(value: string): readonly string[] {
  return [...tooLong(value, 63), ...(labelPattern.test(value) ? [] : [labelText])];
}

export function dnsSubdomainErrors(value: string): readonly string[] {
  const matches = value.split(".").every((part) => labelPattern.test(part));
  return [...tooLong(value, 253), ...(matches ? [] : [subdomainText])];
}

export function dns1035LabelErrors(value: string): readonly string[] {
  return [...tooLong(value, 63), ...(dns1035Pattern.test(value) ? [] : [dns1035Text])];
}

/** Label keys, annotation keys, taint keys, extended resource names: `[subdomain/]name`. */
export function qualifiedNameErrors(value: string): readonly string[] {
  const parts = value.split("/");
  if (parts.length > 2) {
    return [
      `a qualified name ${qualifiedText} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  const errors: string[] = [];
  const [first = "", second] = parts;
  const name = second ?? first;
  if (second !== undefined) {
    if (first === "") errors.push("prefix part must be non-empty");
    else errors.push(...dnsSubdomainErrors(first).map((text) => `prefix part ${text}`));
  }
  if (name === "") errors.push("name part must be non-empty");
  else if (name.length > 63) errors.push("name part must be no more than 63 bytes");
  if (!namePattern.test(name)) errors.push(`name part ${qualifiedText}`);
  return errors;
}

export function labelValueErrors(value: string): readonly string[] {
  const tooMany = value.length > 63 ? ["must be no more than 63 bytes"] : [];
  return [...tooMany, ...(value === "" || namePattern.test(value) ? [] : [labelValueText])];
}

/** Keys of ConfigMaps and Secrets. */
export function configMapKeyErrors(value: string): readonly string[] {
  const errors = [...tooLong(value, 253)];
  if (!configKeyPattern.test(value)) errors.push(configKeyText);
  if (value === ".") errors.push("must not be '.'");
  else if (value === "..") errors.push("must not be '..'");
  else if (value.startsWith("..")) errors.push("must not start with '..'");
  return errors;
}

function tooLong(value: string, charactersMax: number): readonly string[] {
  return value.length > charactersMax ? [`must be no more than ${charactersMax} characters`] : [];
}
