/**
 * Validates Amazon States Language definitions and prints each problem as a sentence.
 *
 * node validate.mjs FILE...   exits 0 if every definition is valid, 1 if one is not,
 * 2 if a file cannot be read or none was named.
 */
import { readFileSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import service from "amazon-states-language-service";

// The service takes integers only, as the language (a number from 0 to 100) does not.
const mapState = service.ASL_SCHEMA.properties.States.additionalProperties.oneOf
  .flatMap((state) => state.allOf ?? [])
  .find((part) => part.properties?.ToleratedFailurePercentage);
mapState.properties.ToleratedFailurePercentage.oneOf[0].type = "number";

const SEVERITIES = { 1: "error", 2: "warning", 3: "information", 4: "hint" };

/** The problems of one definition, in the order of its lines: [{line, severity, message}]. */
export async function problemsOf(text) {
  const document = service.TextDocument.create("file:///definition.asl.json", "json", 1, text);
  const language = service.getLanguageService({});
  const parsed = language.parseJSONDocument(document);
  const diagnostics = await language.doValidation(document, parsed);
  return diagnostics
    .map(({ range, severity, message }) => ({
      line: range.start.line + 1,
      severity: SEVERITIES[severity] ?? "error",
      message: message.trim(),
    }))
    .sort((a, b) => a.line - b.line);
}

async function main(files) {
  if (files.length === 0) {
    console.error("No state machine definition was named: node validate.mjs FILE...");
    return 2;
  }
  let broken = false;
  for (const file of files) {
    let text;
    try {
      text = readFileSync(file, "utf8");
    } catch (error) {
      console.error(`${file} cannot be read: ${error.message}`);
      return 2;
    }
    const problems = await problemsOf(text);
    for (const { line, severity, message } of problems) {
      console.error(`${file}:${line}: ${severity}: ${message}`);
    }
    if (problems.length === 0) console.log(`${file}: a valid state machine`);
    broken ||= problems.length > 0;
  }
  return broken ? 1 : 0;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2));
}
