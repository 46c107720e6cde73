// Package manifests reads the manifests of deploy/kubernetes as the types of the API
// that they are for, in which no field may be unknown.
package manifests

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

const folder = "../../../deploy/kubernetes"

// all is what the files hold.
type all struct {
	deployment apps.Deployment
	config     core.ConfigMap
	services   []core.Service
	scaler     autoscaling.HorizontalPodAutoscaler
	budget     policy.PodDisruptionBudget
	network    networking.NetworkPolicy
	monitor    monitoring.ServiceMonitor
}

func read(t *testing.T) (a all) {
	t.Helper()
	files, err := filepath.Glob(folder + "/*.yaml")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range bytes.Split(text, []byte("\n---\n")) {
			a.add(t, filepath.Base(file), doc)
		}
	}
	return a
}

func (a *all) add(t *testing.T, file string, doc []byte) {
	t.Helper()
	var is meta.TypeMeta
	if err := yaml.Unmarshal(doc, &is); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var into any
	switch is.APIVersion + " " + is.Kind {
	case "apps/v1 Deployment":
		into = &a.deployment
	case "v1 ConfigMap":
		into = &a.config
	case "v1 Service":
		a.services = append(a.services, core.Service{})
		into = &a.services[len(a.services)-1]
	case "autoscaling/v2 HorizontalPodAutoscaler":
		into = &a.scaler
	case "policy/v1 PodDisruptionBudget":
		into = &a.budget
	case "networking.k8s.io/v1 NetworkPolicy":
		into = &a.network
	case "monitoring.coreos.com/v1 ServiceMonitor":
		into = &a.monitor
	default:
		t.Fatalf("%s: what is %s %s?", file, is.APIVersion, is.Kind)
	}
	if err := yaml.UnmarshalStrict(doc, into); err != nil {
		t.Errorf("%s: %v", file, err)
	}
}

// What one manifest names, another one has.
func TestManifestsAgree(t *testing.T) {
	a := read(t)
	pod := labels.Set(a.deployment.Spec.Template.Labels)
	if got := a.deployment.Spec.Selector.MatchLabels; !labels.SelectorFromSet(got).Matches(pod) {
		t.Errorf("the deployment selects %v, its pods are %v", got, pod)
	}
	for _, s := range []*meta.LabelSelector{a.budget.Spec.Selector, &a.network.Spec.PodSelector, a.deployment.Spec.Template.Spec.TopologySpreadConstraints[0].LabelSelector} {
		if !labels.SelectorFromSet(s.MatchLabels).Matches(pod) {
			t.Errorf("%v selects no pod", s.MatchLabels)
		}
	}
	if to := a.scaler.Spec.ScaleTargetRef; to.Name != a.deployment.Name || to.Kind != a.deployment.Kind {
		t.Errorf("the scaler is of %v", to)
	}
	c := a.deployment.Spec.Template.Spec.Containers[0]
	ports := map[string]bool{}
	for _, p := range c.Ports {
		ports[p.Name] = true
	}
	named := []string{c.ReadinessProbe.HTTPGet.Port.StrVal, c.LivenessProbe.HTTPGet.Port.StrVal}
	watched := false
	for _, s := range a.services {
		if !labels.SelectorFromSet(s.Spec.Selector).Matches(pod) {
			t.Errorf("service %s selects no pod", s.Name)
		}
		for _, p := range s.Spec.Ports {
			named = append(named, p.TargetPort.StrVal)
			watched = watched || p.Name == a.monitor.Spec.Endpoints[0].Port && labels.SelectorFromSet(a.monitor.Spec.Selector.MatchLabels).Matches(labels.Set(s.Labels))
		}
	}
	for _, in := range a.network.Spec.Ingress {
		named = append(named, in.Ports[0].Port.StrVal)
	}
	for _, n := range named {
		if !ports[n] {
			t.Errorf("there is no port %q", n)
		}
	}
	if !watched {
		t.Error("the monitor finds no service")
	}
	for _, v := range a.deployment.Spec.Template.Spec.Volumes {
		if v.ConfigMap != nil && v.ConfigMap.Name != a.config.Name {
			t.Errorf("there is no config map %s", v.ConfigMap.Name)
		}
	}
}
