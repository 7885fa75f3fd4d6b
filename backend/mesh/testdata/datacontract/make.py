"""Makes expected.json: what datacontract-cli says of orders.csv by each contract beside it.

Run by hand in an environment with datacontract-cli[duckdb]; go test only reads what it wrote.
"""

import glob
import importlib.metadata
import json
import logging

from datacontract.data_contract import DataContract

logging.disable(logging.CRITICAL)

ORDERS = """order_id,customer,email,amount,qty,currency,created_at
o1,ada,ada@example.com,10.5,1,EUR,2026-01-01
o2,bob,,20,2,NOK,2026-01-02
o3,,cyd@example.com,0,0,USD,2026-01-03
o3,dan,dan@example.com,-1,12,EUR,2026-01-04
o5,eve,not an address,5,3,,2026-01-05
"""

HEAD = """apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
name: orders
servers:
  - {{server: local, type: local, path: ./{file}, format: csv, delimiter: ','}}
schema:
  - name: orders
    physicalName: orders
    physicalType: table
    properties:
{properties}
{quality}
"""

COLUMNS = {
    "order_id": "logicalType: string", "customer": "logicalType: string", "email": "logicalType: string", "amount": "logicalType: number",
    "qty": "logicalType: integer", "currency": "logicalType: string", "created_at": "logicalType: date",
}

# name: (changed columns, quality of the schema, file)
CASES = {
    "plain": ({}, "", "orders.csv"),
    "required_holds": ({"order_id": "logicalType: string, required: true"}, "", "orders.csv"),
    "required_fails": ({"customer": "logicalType: string, required: true"}, "", "orders.csv"),
    "unique_fails": ({"order_id": "logicalType: string, unique: true"}, "", "orders.csv"),
    "unique_and_nulls": ({"currency": "logicalType: string, unique: true"}, "", "orders.csv"),
    "primary_key": ({"customer": "logicalType: string, primaryKey: true"}, "", "orders.csv"),
    "minimum_fails": ({"amount": "logicalType: number, logicalTypeOptions: {minimum: 0}"}, "", "orders.csv"),
    "maximum_fails": ({"qty": "logicalType: integer, logicalTypeOptions: {maximum: 10}"}, "", "orders.csv"),
    "maximum_holds": ({"qty": "logicalType: integer, logicalTypeOptions: {maximum: 12}"}, "", "orders.csv"),
    "exclusive_fails": ({"qty": "logicalType: integer, logicalTypeOptions: {exclusiveMinimum: 0}"}, "", "orders.csv"),
    "length_fails": ({"order_id": "logicalType: string, logicalTypeOptions: {minLength: 3}"}, "", "orders.csv"),
    "pattern_fails": ({"email": "logicalType: string, logicalTypeOptions: {pattern: '^[^@ ]+@[^@ ]+$'}"}, "", "orders.csv"),
    "pattern_holds": ({"order_id": "logicalType: string, logicalTypeOptions: {pattern: '^o[0-9]$'}"}, "", "orders.csv"),
    "null_rows": ({"email": "logicalType: string, quality: [{metric: nullValues, mustBe: 1}]"}, "", "orders.csv"),
    "null_percent": ({"email": "logicalType: string, quality: [{metric: nullValues, mustBeLessThan: 20, unit: percent}]"}, "", "orders.csv"),
    "null_between": ({"email": "logicalType: string, quality: [{metric: nullValues, mustBeBetween: [1, 3]}]"}, "", "orders.csv"),
    "duplicates": ({"order_id": "logicalType: string, quality: [{metric: duplicateValues, mustBeLessThan: 2}]"}, "", "orders.csv"),
    "invalid_values": ({"currency": "logicalType: string, quality: [{metric: invalidValues, arguments: {validValues: [EUR, NOK]}, mustBe: 0}]"}, "", "orders.csv"),
    "missing_values": ({"email": "logicalType: string, quality: [{metric: missingValues, arguments: {missingValues: [null, 'not an address']}, mustBe: 2}]"}, "", "orders.csv"),
    "unknown_metric": ({"email": "logicalType: string, quality: [{metric: wonder, mustBe: 0}]"}, "", "orders.csv"),
    "two_operators": ({}, "    quality: [{metric: rowCount, mustBeGreaterThan: 0, mustBeLessThan: 3}]", "orders.csv"),
    "row_count_between": ({}, "    quality: [{metric: rowCount, mustBeBetween: [5, 9]}]", "orders.csv"),
    "row_count_holds": ({}, "    quality: [{metric: rowCount, mustBe: 5}]", "orders.csv"),
    "duplicates_of_schema": ({}, "    quality: [{metric: duplicateValues, arguments: {properties: [order_id, customer]}, mustBe: 0}]", "orders.csv"),
    "no_rows_null_percent": ({"email": "logicalType: string, quality: [{metric: nullValues, mustBeLessThan: 20, unit: percent}]"}, "", "empty.csv"),
    "missing_column": ({"extra": "logicalType: string"}, "", "orders.csv"),
}

# Every operator on the number of rows, which is 5: one argument that holds and one that does not.
for operator, holds, fails in [
    ("mustBe", 5, 4), ("mustNotBe", 4, 5), ("mustBeGreaterThan", 4, 5), ("mustBeGreaterOrEqualTo", 5, 6), ("mustBeLessThan", 6, 5),
    ("mustBeLessOrEqualTo", 5, 4), ("mustBeBetween", [4, 6], [6, 9]), ("mustNotBeBetween", [6, 9], [4, 6]),
]:
    CASES[f"operator_{operator}_holds"] = ({}, f"    quality: [{{metric: rowCount, {operator}: {holds}}}]", "orders.csv")
    CASES[f"operator_{operator}_fails"] = ({}, f"    quality: [{{metric: rowCount, {operator}: {fails}}}]", "orders.csv")

# Every metric of a column in both units: of five rows one email is null, two are missing or no address, one order_id is
# a repeated one, one currency is not among the valid.
for metric, column, arguments, share in [
    ("nullValues", "email", "", 20), ("missingValues", "email", "arguments: {missingValues: [null, 'not an address']}, ", 40),
    ("invalidValues", "email", "arguments: {pattern: '^[^@ ]+@[^@ ]+$'}, ", 20), ("duplicateValues", "order_id", "", 20),
]:
    for unit, figure in {"rows": share // 20, "percent": share}.items():
        for verdict, limit in {"holds": figure, "fails": figure - 1}.items():
            CASES[f"{metric}_{unit}_{verdict}"] = ({column: f"logicalType: string, quality: [{{metric: {metric}, {arguments}unit: {unit}, mustBeLessOrEqualTo: {limit}}}]"}, "", "orders.csv")

CASES |= {
    "max_length_fails": ({"email": "logicalType: string, logicalTypeOptions: {maxLength: 14}"}, "", "orders.csv"),
    "max_length_holds": ({"email": "logicalType: string, logicalTypeOptions: {maxLength: 15}"}, "", "orders.csv"),
    "exclusive_maximum_fails": ({"qty": "logicalType: integer, logicalTypeOptions: {exclusiveMaximum: 12}"}, "", "orders.csv"),
    "type_fails": ({"customer": "logicalType: integer"}, "", "orders.csv"),
    "severity_warning": ({}, "    quality: [{metric: rowCount, mustBe: 4, severity: warning}]", "orders.csv"),
}

if __name__ == "__main__":
    with open("orders.csv", "w") as f:
        f.write(ORDERS)
    with open("empty.csv", "w") as f:
        f.write(ORDERS.splitlines()[0] + "\n")
    expected = {}
    for name, (changes, quality, file) in CASES.items():
        columns = {**COLUMNS, **changes}
        text = HEAD.format(file=file, quality=quality, properties="\n".join(f"      - {{name: {k}, {v}}}" for k, v in columns.items()))
        with open(f"{name}.odcs.yaml", "w") as f:
            f.write(text)
        run = DataContract(data_contract_file=f"{name}.odcs.yaml").test()
        checks = [[c.type, c.field, str(getattr(c.result, "value", c.result))] for c in run.checks if c.type not in ("general",)]
        expected[name] = {"file": file, "result": str(getattr(run.result, "value", run.result)), "checks": checks}
    with open("expected.json", "w") as f:
        json.dump({"datacontract-cli": importlib.metadata.version("datacontract-cli"), "results": expected}, f, indent=1)
    print(len(glob.glob("*.odcs.yaml")), "contracts")
