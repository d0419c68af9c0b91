// Types by openapi-typescript, calls by openapi-fetch: the address of each chute is an argument.
import createClient from "openapi-fetch";
import type { paths as Classifier } from "./openapi.js";
import type { paths as Embedder } from "./openapi-embedder.js";
import type { paths as Generator } from "./openapi-generator.js";

declare const process: { argv: string[] };
const [classifier, embedder, generator] = process.argv.slice(2);

const sentiments = await createClient<Classifier>({ baseUrl: classifier }).POST("/process-batch", {
  body: { texts: ["I love this!"], batch_size: 1 },
});
const vectors = await createClient<Embedder>({ baseUrl: embedder }).POST("/v1/embeddings", { body: { input: "I love this!" } });
const answers = await createClient<Generator>({ baseUrl: generator }).POST("/generate-batch", {
  body: { prompts: ["Hello"], max_new_tokens: 2 },
});
const refused = await createClient<Classifier>({ baseUrl: classifier }).POST("/process-batch", { body: { texts: [" "] } });
const first = sentiments.data?.results[0];
console.log(
  JSON.stringify([
    first && "sentiment" in first ? first.sentiment : null,
    vectors.data?.data[0].embedding.length,
    answers.data?.results.length,
    refused.error && typeof refused.error.detail !== "string" ? refused.error.detail[0].type : null,
  ]),
);
