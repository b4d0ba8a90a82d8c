// Everything that an application does with fhir-kit-client, told as one JSON object for the test to judge.
const Client = require("fhir-kit-client");

const client = new Client({
  baseUrl: process.env.DMP_BASE,
  customHeaders: { Authorization: `Bearer ${process.env.DMP_TOKEN}` },
});

const status = async (call) => {
  try {
    await call();
    return 200;
  } catch (error) {
    return error.response ? error.response.status : String(error);
  }
};

const main = async () => {
  const told = {};
  const patient = await client.create({
    resourceType: "Patient",
    body: { resourceType: "Patient", name: [{ family: "KIT", given: ["Zoé"] }], birthDate: "1990-01-02" },
  });
  told.created = [patient.meta.versionId, patient.name[0].given[0]];

  const read = await client.read({ resourceType: "Patient", id: patient.id });
  told.read = read.birthDate;

  const updated = await client.update({
    resourceType: "Patient",
    id: patient.id,
    body: { ...read, gender: "female" },
  });
  told.updated = [updated.meta.versionId, updated.gender];

  const patched = await client.patch({
    resourceType: "Patient",
    id: patient.id,
    JSONPatch: [{ op: "replace", path: "/birthDate", value: "1991-01-02" }],
  });
  told.patched = [patched.meta.versionId, patched.birthDate];

  const old = await client.vread({ resourceType: "Patient", id: patient.id, version: "1" });
  told.vread = old.birthDate;
  const history = await client.history({ resourceType: "Patient", id: patient.id });
  told.history = history.entry.map((entry) => entry.resource.meta.versionId);

  for (let number = 0; number < 7; number += 1) {
    await client.create({
      resourceType: "Observation",
      body: {
        resourceType: "Observation",
        status: "final",
        code: { coding: [{ system: "http://loinc.org", code: `c${number}` }] },
        subject: { reference: `Patient/${patient.id}` },
      },
    });
  }
  let page = await client.search({
    resourceType: "Observation",
    searchParams: { subject: `Patient/${patient.id}`, _sort: "code", _count: 3 },
  });
  const pages = [];
  while (page) {
    pages.push(page.entry.map((entry) => entry.resource.code.coding[0].code));
    page = await client.nextPage({ bundle: page });
  }
  told.pages = pages;

  const chained = await client.resourceSearch({
    resourceType: "Observation",
    searchParams: { "subject:Patient.family": "kit", _include: "Observation:subject", code: "c3" },
    options: { postSearch: true },
  });
  told.included = chained.entry.map((entry) => [entry.resource.resourceType, entry.search.mode]);
  const inside = await client.compartmentSearch({
    resourceType: "Observation",
    compartment: { resourceType: "Patient", id: patient.id },
    searchParams: { code: "c5" },
  });
  told.compartment = inside.entry.length;

  const name = "urn:uuid:00000000-0000-4000-8000-000000000001";
  const answer = await client.transaction({
    body: {
      resourceType: "Bundle",
      type: "transaction",
      entry: [
        {
          fullUrl: name,
          resource: { resourceType: "Organization", name: "Équipe" },
          request: { method: "POST", url: "Organization" },
        },
        {
          resource: { resourceType: "Location", name: "Salle", managingOrganization: { reference: name } },
          request: { method: "POST", url: "Location" },
        },
      ],
    },
  });
  told.transaction = answer.entry.map((entry) => entry.response.status);
  const organization = answer.entry[0].response.location.split("/_history")[0].split("/").pop();

  const everything = await client.operation({
    resourceType: "Patient",
    id: patient.id,
    name: "everything",
    method: "GET",
    input: { _type: "Patient,Observation" },
  });
  told.everything = everything.entry.length;

  told.missing = await status(() => client.read({ resourceType: "Patient", id: "nobody" }));
  told.refused = await status(() =>
    client.create({ resourceType: "Patient", body: { resourceType: "Patient", gender: "autre" } }),
  );
  told.inUse = await status(() => client.delete({ resourceType: "Organization", id: organization }));
  const spare = await client.create({
    resourceType: "Organization",
    body: { resourceType: "Organization", name: "Reste" },
  });
  told.deleted = await status(() => client.delete({ resourceType: "Organization", id: spare.id }));
  told.gone = await status(() => client.read({ resourceType: "Organization", id: spare.id }));

  const capability = await client.capabilityStatement();
  told.version = capability.fhirVersion;
  console.log(JSON.stringify(told));
};

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
