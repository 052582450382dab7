{{/* The name that all objects begin with. */}}
{{- define "testrun.name" -}}
{{- if contains "testrun" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-testrun" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Labels by which pods are found; they must never change. Takes (list context part). */}}
{{- define "testrun.selector" -}}
app.kubernetes.io/name: testrun
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "testrun.labels" -}}
{{ include "testrun.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- end }}

{{- define "testrun.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What all pods have in common, beside their containers. */}}
{{- define "testrun.pod" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 256Mi
  {{- if .Values.database.caSecretName }}
  - name: database-ca
    secret:
      secretName: {{ .Values.database.caSecretName }}
      items:
        - key: {{ .Values.database.caSecretKey }}
          path: database-ca.crt
  {{- end }}
{{- end }}

{{/* What all containers have in common. */}}
{{- define "testrun.container" -}}
image: {{ include "testrun.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- if .Values.database.caSecretName }}
  - name: database-ca
    mountPath: /etc/testrun
    readOnly: true
  {{- end }}
{{- end }}

{{/* Settings of every program. */}}
{{- define "testrun.environment" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.secretName }}
      key: {{ .Values.database.secretKey }}
- name: LOG_FORMAT
  value: {{ .Values.logFormat }}
{{- with .Values.log }}
- name: RUST_LOG
  value: {{ . | quote }}
{{- end }}
{{- with .Values.publicUrl }}
- name: TESTRUN_PUBLIC_URL
  value: {{ . | quote }}
{{- end }}
{{- range $name, $value := .Values.environment }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* Ports and probes: every service answers the same three paths. It starts when it is ready, gets traffic while it is, and is
restarted only if it does not answer at all: a database that is away is no reason. */}}
{{- define "testrun.probes" -}}
ports:
  - name: http
    containerPort: 8080
startupProbe:
  httpGet: { path: /readyz, port: http }
  periodSeconds: 1
  failureThreshold: 120
readinessProbe:
  httpGet: { path: /readyz, port: http }
  periodSeconds: 3
  failureThreshold: 2
livenessProbe:
  httpGet: { path: /healthz, port: http }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{/* Pods of one kind are spread over machines and zones, as far as there are any. Takes (list context part). */}}
{{- define "testrun.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "testrun.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{/* A Deployment. Takes a dict: context, part, command, replicas (none: something else scales it), environment, values,
drainSeconds (none: 0; a sleep before SIGTERM, in which balancers hear that the pod takes no more). */}}
{{- define "testrun.deployment" -}}
{{- $context := .context -}}
{{- $who := list .context .part -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "testrun.name" $context }}-{{ .part }}
  labels:
    {{- include "testrun.labels" $who | nindent 4 }}
spec:
  {{- if .replicas }}
  replicas: {{ .replicas }}
  {{- end }}
  strategy:
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
  selector:
    matchLabels:
      {{- include "testrun.selector" $who | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "testrun.labels" $who | nindent 8 }}
        {{- with $context.Values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $context.Values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "testrun.pod" $context | nindent 6 }}
      {{- include "testrun.spread" $who | nindent 6 }}
      # A service that stops takes up to 25 s.
      terminationGracePeriodSeconds: 45
      containers:
        - name: {{ .part }}
          command: [{{ .command }}]
          {{- include "testrun.container" $context | nindent 10 }}
          env:
            {{- include "testrun.environment" $context | nindent 12 }}
            - name: TESTRUN_DATABASE_CONNECTIONS
              value: {{ .values.databaseConnections | quote }}
            {{- .environment | nindent 12 }}
          {{- include "testrun.probes" $context | nindent 10 }}
          {{- with .drainSeconds }}
          lifecycle:
            preStop:
              sleep:
                seconds: {{ . }}
          {{- end }}
          resources:
            {{- toYaml .values.resources | nindent 12 }}
{{- end }}
