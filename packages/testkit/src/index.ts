export { runReadmeExample } from "./readme-example.ts";
