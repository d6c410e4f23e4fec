/** Each definition below is broken in one way; a validator that says nothing about it proves nothing. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { problemsOf } from "./validate.mjs";

/** A small definition of kalmap's kind: a task with Retry and Catch, a Choice, a Distributed Map. */
function valid() {
  return {
    StartAt: "Plan",
    States: {
      Plan: {
        Type: "Task",
        Resource: "arn:aws:states:::lambda:invoke",
        Parameters: { FunctionName: "plan", "Payload.$": "$" },
        ResultPath: "$.plan",
        Retry: [
          {
            ErrorEquals: ["Lambda.ServiceException"],
            IntervalSeconds: 2,
            MaxAttempts: 6,
            BackoffRate: 2.0,
            MaxDelaySeconds: 30,
            JitterStrategy: "FULL",
          },
        ],
        Catch: [{ ErrorEquals: ["States.ALL"], ResultPath: "$.error", Next: "Failed" }],
        Next: "Any",
      },
      Any: {
        Type: "Choice",
        Choices: [{ Variable: "$.plan.shards", NumericGreaterThan: 0, Next: "Filter" }],
        Default: "Done",
      },
      Filter: {
        Type: "Map",
        MaxConcurrency: 4,
        ToleratedFailurePercentage: 100.0,
        ItemReader: {
          Resource: "arn:aws:states:::s3:getObject",
          ReaderConfig: { InputType: "JSON" },
          Parameters: { Bucket: "b", "Key.$": "$.plan.key" },
        },
        ItemProcessor: {
          ProcessorConfig: { Mode: "DISTRIBUTED", ExecutionType: "STANDARD" },
          StartAt: "FilterShard",
          States: {
            FilterShard: {
              Type: "Task",
              Resource: "arn:aws:states:::lambda:invoke",
              Parameters: { FunctionName: "filter", "Payload.$": "$" },
              End: true,
            },
          },
        },
        Next: "Done",
      },
      Done: { Type: "Succeed" },
      Failed: { Type: "Fail", Error: "BatchFailed" },
    },
  };
}

// What is broken: how, and the words that the problem's sentence must have.
const BROKEN = {
  "a Next to a state that is not there": [(d) => (d.States.Plan.Next = "Anny"), /Next/],
  "a Catch to a state that is not there": [(d) => (d.States.Plan.Catch[0].Next = "Fail"), /Next/],
  "a Choice to a state that is not there": [(d) => (d.States.Any.Choices[0].Next = "X"), /Next/],
  "a Default that is not there": [(d) => (d.States.Any.Default = "X"), /Default/],
  "a StartAt that is not there": [(d) => (d.StartAt = "Begin"), /StartAt/],
  "a child's StartAt that is not there": [
    (d) => (d.States.Filter.ItemProcessor.StartAt = "X"),
    /StartAt/,
  ],
  "a child that leaves its Map": [
    (d) => {
      delete d.States.Filter.ItemProcessor.States.FilterShard.End;
      d.States.Filter.ItemProcessor.States.FilterShard.Next = "Done";
    },
    /Next/,
  ],
  "a state that nothing reaches": [
    (d) => (d.States.Orphan = { Type: "Succeed" }),
    /cannot be reached/,
  ],
  "a misspelt field of a state": [(d) => (d.States.Plan.ResultPaht = null), /not supported/],
  "a misspelt field of a Retry": [(d) => (d.States.Plan.Retry[0].MaxAttemps = 1), /not supported/],
  "a field of another kind of state": [(d) => (d.States.Done.Next = "Any"), /not supported/],
  "a kind of state that does not exist": [(d) => (d.States.Done.Type = "Success"), /not accepted/],
  "a task without Next or End": [(d) => delete d.States.Plan.Next, /Missing property "Next"/],
  "a task without a Resource": [(d) => delete d.States.Plan.Resource, /Resource/],
  "a JitterStrategy that does not exist": [
    (d) => (d.States.Plan.Retry[0].JitterStrategy = "HALF"),
    /"FULL", "NONE"/,
  ],
  "a BackoffRate below 1": [(d) => (d.States.Plan.Retry[0].BackoffRate = 0.5), /minimum of 1/],
  "an InputType that does not exist": [
    (d) => (d.States.Filter.ItemReader.ReaderConfig.InputType = "XML"),
    /"JSON"/,
  ],
  "a tolerance above 100": [(d) => (d.States.Filter.ToleratedFailurePercentage = 101), /100/],
  "a path where a number is wanted": [(d) => (d.States.Filter.MaxConcurrency = "$.n"), /integer/],
};

test("a valid definition has no problem", async () => {
  // 100.0 must stay a number with a point, which JSON.stringify drops.
  const text = JSON.stringify(valid(), null, 2).replace(/Percentage": 100\b/, '$&.0');
  assert.match(text, /100\.0/);
  assert.deepEqual(await problemsOf(text), []);
});

for (const [what, [breakIt, words]] of Object.entries(BROKEN)) {
  test(`${what} is named`, async () => {
    const definition = valid();
    breakIt(definition);
    const problems = await problemsOf(JSON.stringify(definition, null, 2));
    assert.match(problems.map(({ message }) => message).join("\n"), words);
  });
}

test("text that is no JSON is named", async () => {
  assert.notDeepEqual(await problemsOf('{"StartAt": '), []);
});

test("the command exits 0, 1 or 2 and names file and line", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "asl-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const command = fileURLToPath(new URL("validate.mjs", import.meta.url));
  const run = (...files) => spawnSync(process.execPath, [command, ...files], { encoding: "utf8" });
  const [good, bad] = [join(folder, "good.asl.json"), join(folder, "bad.asl.json")];
  const broken = valid();
  broken.States.Plan.Next = "Nowhere";
  writeFileSync(good, JSON.stringify(valid(), null, 2));
  writeFileSync(bad, JSON.stringify(broken, null, 2));

  assert.equal(run(good).status, 0);
  const answer = run(good, bad);
  assert.equal(answer.status, 1);
  assert.match(answer.stderr, /bad\.asl\.json:\d+: error: .*Next/);
  assert.equal(run().status, 2);
  assert.equal(run(join(folder, "absent.asl.json")).status, 2);
});
