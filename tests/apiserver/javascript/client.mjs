// What a controller written with @kubernetes/client-node does; prints what it saw as JSON.
import * as k8s from "@kubernetes/client-node";

const [kubeconfig, namespace] = process.argv.slice(2);
const config = new k8s.KubeConfig();
config.loadFromFile(kubeconfig);
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const result = {};

for (const name of ["a", "b"]) {
  await core.createNamespacedConfigMap({ namespace, body: { metadata: { name, labels: { of: "js" } } } });
}
const list = await core.listNamespacedConfigMap({ namespace, labelSelector: "of=js" });
result.created = list.items.map((item) => item.metadata.name);

const events = [];
const watched = new Promise((resolve, reject) => {
  new k8s.Watch(config).watch(
    `/api/v1/namespaces/${namespace}/configmaps`,
    { labelSelector: "of=js", fieldSelector: "metadata.name=a" },
    (type, object) => {
      events.push([type, object.metadata.name]);
      if (events.length === 1) change().catch(reject);
      if (type === "DELETED") resolve();
    },
    (error) => error && error.name !== "AbortError" && reject(error),
  );
});

async function change() {
  const merge = k8s.setHeaderOptions("Content-Type", k8s.PatchStrategy.MergePatch);
  const patched = await core.patchNamespacedConfigMap({ name: "a", namespace, body: { data: { k: "v" } } }, merge);
  result.patched = patched.data;
  await core.deleteNamespacedConfigMap({ name: "a", namespace });
}
await watched;
result.events = events;

const labels = { app: "web" };
const template = { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }] } };
const body = { metadata: { name: "web" }, spec: { replicas: 1, selector: { matchLabels: labels }, template } };
await apps.createNamespacedDeployment({ namespace, body });
const scale = await apps.readNamespacedDeploymentScale({ name: "web", namespace });
scale.spec.replicas = 3;
result.scaled = (await apps.replaceNamespacedDeploymentScale({ name: "web", namespace, body: scale })).spec.replicas;
try {
  await core.readNamespacedConfigMap({ name: "none", namespace });
} catch (error) {
  result.missing = error.code;
}
console.log(JSON.stringify(result));
process.exit(0);
