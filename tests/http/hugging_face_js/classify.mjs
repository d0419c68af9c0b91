// Reads a request on standard input, asks the address that is the first argument, prints the answer or the error.
import { readFileSync } from "node:fs";
import { InferenceClient } from "@huggingface/inference";

const request = JSON.parse(readFileSync(0, "utf8"));
const client = new InferenceClient("hf_key").endpoint(process.argv[2]);
try {
  console.log(JSON.stringify(await client.textClassification(request)));
} catch (error) {
  console.log(JSON.stringify({ message: error.message, status: error.httpResponse?.status }));
}
