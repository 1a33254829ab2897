{{/* The name of everything: that of the release, with what it is. */}}
{{- define "downhaul.name" -}}
{{- if contains "downhaul" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-downhaul" (.Release.Name | trunc 41) }}{{ end }}
{{- end }}

{{- define "downhaul.selector" -}}
app.kubernetes.io/name: downhaul
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "downhaul.labels" -}}
{{ include "downhaul.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "downhaul.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{ .Values.image.repository }}:{{ $tag }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}
