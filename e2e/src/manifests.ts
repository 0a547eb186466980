/** The folder that `kubectl apply -f` is given: one object of each kind that a first user writes. */
export const manifests: Readonly<Record<string, string>> = {
  "10-config.yaml": `apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {suite: folder}}
data: {greeting: hello, file.txt: "from a file\\n"}
---
apiVersion: v1
kind: Secret
metadata: {name: keys, labels: {suite: folder}}
data: {password: czNjcmV0}
`,
  "20-deployment.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: app, labels: {suite: folder}}
spec:
  replicas: 2
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app, suite: folder}}
    spec:
      terminationGracePeriodSeconds: 2
      initContainers:
      - {name: prepare, image: "wherry.local/busybox:1", command: [sh, -c, "echo prepared > /shared/ready"], volumeMounts: [{name: shared, mountPath: /shared}]}
      containers:
      - name: app
        image: wherry.local/busybox:1
        ports: [{containerPort: 80}]
        env:
        - {name: GREETING, valueFrom: {configMapKeyRef: {name: settings, key: greeting}}}
        - {name: PASSWORD, valueFrom: {secretKeyRef: {name: keys, key: password}}}
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
        livenessProbe: {tcpSocket: {port: 80}, periodSeconds: 2}
        startupProbe: {exec: {command: [test, -f, /shared/ready]}, periodSeconds: 1}
        volumeMounts:
        - {name: shared, mountPath: /shared}
        - {name: settings, mountPath: /etc/settings}
        - {name: keys, mountPath: /etc/keys}
      volumes:
      - {name: shared, emptyDir: {}}
      - {name: settings, configMap: {name: settings}}
      - {name: keys, secret: {secretName: keys, defaultMode: 256}}
---
apiVersion: v1
kind: Service
metadata: {name: app, labels: {suite: folder}}
spec: {selector: {app: app}, ports: [{port: 80}]}
`,
  "30-job.yaml": `apiVersion: batch/v1
kind: Job
metadata: {name: once, labels: {suite: folder}}
spec:
  completions: 2
  parallelism: 2
  template:
    metadata: {labels: {suite: folder}}
    spec:
      restartPolicy: Never
      containers: [{name: once, image: "wherry.local/busybox:1", command: [sh, -c, "echo done"]}]
`,
  "40-statefulset.yaml": `apiVersion: v1
kind: Service
metadata: {name: db, labels: {suite: folder}}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 80, name: http}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, labels: {suite: folder}}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db, suite: folder}}
    spec: {terminationGracePeriodSeconds: 2, containers: [{name: db, image: "wherry.local/busybox:1", ports: [{containerPort: 80, name: http}]}]}
`,
  "50-daemonset.yaml": `apiVersion: apps/v1
kind: DaemonSet
metadata: {name: everywhere, labels: {suite: folder}}
spec:
  selector: {matchLabels: {app: everywhere}}
  template:
    metadata: {labels: {app: everywhere, suite: folder}}
    spec: {terminationGracePeriodSeconds: 2, containers: [{name: agent, image: "wherry.local/busybox:1"}]}
`,
};
